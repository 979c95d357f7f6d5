import { MillraceError } from "@millrace/runtime";
import { readOptions } from "../../commandLine.ts";
import type { Command } from "../command.ts";
import { connectFeedback, whoIsThis } from "./connectFeedback.ts";

/** Asks for a training by hand; exit status 1 when the answer is "not now". */
export const retrain: Command = {
  name: "retrain",
  usage: "<app> --why <reason> [--despite-data-quality]",
  what: "ask for a training now, whatever schedule, cool-down and budget say",
  details: `  --why <reason>            one sentence, kept with the decision
  --despite-data-quality    train although a data quality alert is open`,
  async run(commandArguments) {
    const options = { why: { type: "string" }, "despite-data-quality": { type: "boolean" } } as const;
    const { values, positionals } = readOptions({ args: [...commandArguments], options, allowPositionals: true });
    const [app, ...more] = positionals;
    if (app === undefined || more.length > 0 || values.why === undefined) {
      throw new MillraceError(
        "invalid_argument",
        'retrain takes an app and a reason: retrain <app> --why "a fix is in"',
      );
    }
    using feedback = connectFeedback();
    const despiteDataQuality = values["despite-data-quality"] ?? false;
    const { decision } = await feedback.requestRetraining({
      app,
      why: values.why,
      who: whoIsThis(),
      despiteDataQuality,
    });
    if (decision?.retrain === true) console.log(`Training ${decision.jobId} is asked for.`);
    else console.log(decision?.reason ?? "");
    return decision?.retrain === true ? 0 : 1;
  },
};
