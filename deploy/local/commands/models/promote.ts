import type { Command } from "../command.ts";
import { nameOf } from "./modelText.ts";
import { connectRegistry } from "./registryClient.ts";
import { readWish, WISH_DETAILS } from "./wish.ts";

/** Makes a version the champion. */
export const modelsPromote: Command = {
  name: "models promote",
  usage: "<app>/<number> --reason <text> [--by-policy] [--without-probation]",
  what: "make a version the champion, at once or by the app's promotion policy",
  details: `${WISH_DETAILS}
  --by-policy       by the steps of the app's model.promotion: shadow, canary, champion
  --without-probation   without the probation that model.promotion asks for

One that its gates rejected is refused. Promoting the champion changes nothing.`,
  async run(commandArguments) {
    const byPolicy = commandArguments.includes("--by-policy");
    const withoutProbation = commandArguments.includes("--without-probation");
    const wish = readWish(
      "models promote",
      commandArguments.filter((word) => word !== "--by-policy" && word !== "--without-probation"),
    );
    using registry = connectRegistry();
    const { deployment } = await registry.promoteModel({ ...wish, byPolicy, withoutProbation });
    const beside = deployment?.shadow?.model ?? deployment?.canary?.model;
    if (byPolicy && beside?.number === wish.number) console.log(`${nameOf(wish)} is on its way to champion`);
    else if (deployment?.shadow?.model?.number === deployment?.previous?.number && deployment?.shadow !== undefined)
      console.log(`${nameOf(wish)} is the champion, on probation`);
    else console.log(`${nameOf(wish)} is the champion`);
    return 0;
  },
};
