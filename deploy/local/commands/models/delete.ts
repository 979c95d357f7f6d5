import type { Command } from "../command.ts";
import { nameOf, stateOf } from "./modelText.ts";
import { connectRegistry } from "./registryClient.ts";
import { readWish, WISH_DETAILS } from "./wish.ts";

/** Deletes a version's file. */
export const modelsDelete: Command = {
  name: "models delete",
  usage: "<app>/<number> --reason <text>",
  what: "delete a version's file; who made it and why it went is kept",
  details: `${WISH_DETAILS}

Refused for the champion, the champion before, a version on its way to champion, and while a job of the app is open. models list --deleted
lists it still, and its number is not given again.`,
  async run(commandArguments) {
    const wish = readWish("models delete", commandArguments);
    using registry = connectRegistry();
    const { model } = await registry.deleteModel(wish);
    if (model !== undefined) console.log(`${nameOf(model)} is ${stateOf(model)}`);
    return 0;
  },
};
