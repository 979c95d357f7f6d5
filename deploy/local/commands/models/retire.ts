import type { Command } from "../command.ts";
import { nameOf, stateOf } from "./modelText.ts";
import { connectRegistry } from "./registryClient.ts";
import { readWish, WISH_DETAILS } from "./wish.ts";

/** Takes a version out of the running. */
export const modelsRetire: Command = {
  name: "models retire",
  usage: "<app>/<number> --reason <text>",
  what: "take a candidate, or a version on its way to champion, out of the running",
  details: `${WISH_DETAILS}

The champion is refused: promote another, or roll back. A retired version can be promoted again.`,
  async run(commandArguments) {
    const wish = readWish("models retire", commandArguments);
    using registry = connectRegistry();
    const { model } = await registry.retireModel(wish);
    if (model !== undefined) console.log(`${nameOf(model)} is ${stateOf(model)}`);
    return 0;
  },
};
