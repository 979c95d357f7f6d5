import type { Command } from "../command.ts";
import { nameOf } from "./modelText.ts";
import { connectRegistry } from "./registryClient.ts";
import { readWish, WISH_DETAILS } from "./wish.ts";

/** Makes a version the champion. */
export const modelsPromote: Command = {
  name: "models promote",
  usage: "<app>/<number> --reason <text> [--by-policy]",
  what: "make a version the champion, at once or by the app's promotion policy",
  details: `${WISH_DETAILS}
  --by-policy       by the steps of the app's model.promotion: shadow, canary, champion

One that its gates rejected is refused. Promoting the champion changes nothing.`,
  async run(commandArguments) {
    const byPolicy = commandArguments.includes("--by-policy");
    const wish = readWish(
      "models promote",
      commandArguments.filter((word) => word !== "--by-policy"),
    );
    using registry = connectRegistry();
    const { deployment } = await registry.promoteModel({ ...wish, byPolicy });
    const beside = deployment?.shadow?.model ?? deployment?.canary?.model;
    if (byPolicy && beside?.number === wish.number) console.log(`${nameOf(wish)} is on its way to champion`);
    else console.log(`${nameOf(wish)} is the champion`);
    return 0;
  },
};
