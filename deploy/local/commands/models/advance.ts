import type { Command } from "../command.ts";
import { nameOf, stateOf } from "./modelText.ts";
import { connectRegistry } from "./registryClient.ts";
import { readWish, WISH_DETAILS } from "./wish.ts";

/** Lets a version on its way to champion take its next step. */
export const modelsAdvance: Command = {
  name: "models advance",
  usage: "<app>/<number> --reason <text>",
  what: "let a version that is on its way to champion take its next step",
  details: `${WISH_DETAILS}

A person's word: the step is taken whatever the evidence says so far; models show tells that. A champion's probation ends.`,
  async run(commandArguments) {
    const wish = readWish("models advance", commandArguments);
    using registry = connectRegistry();
    const { model: before } = await registry.getModel(wish);
    const { model } = await registry.advanceModel({ ...wish, ...(before === undefined ? {} : { from: before.state }) });
    if (model !== undefined) console.log(`${nameOf(model)} is ${stateOf(model)} now`);
    return 0;
  },
};
