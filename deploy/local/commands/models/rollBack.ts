import { MillraceError } from "@millrace/runtime";
import type { Command } from "../command.ts";
import { nameOf } from "./modelText.ts";
import { connectRegistry } from "./registryClient.ts";
import { readWish, WISH_DETAILS } from "./wish.ts";

/** Makes the champion before serve again. */
export const modelsRollBack: Command = {
  name: "models roll-back",
  usage: "<app>/<number> --reason <text>",
  what: "take the champion away, and make the one before serve again",
  details: `${WISH_DETAILS}

<app>/<number> is the champion that is to go: when another serves by now, nothing changes.`,
  async run(commandArguments) {
    const wish = readWish("models roll-back", commandArguments);
    using registry = connectRegistry();
    const { deployment } = await registry.rollBackModel(wish);
    if (deployment?.champion === undefined) throw new MillraceError("internal", "No version serves after the call");
    console.log(`${nameOf(deployment.champion)} serves ${wish.app}`);
    return 0;
  },
};
