import { toJson } from "@bufbuild/protobuf";
import { RetrainingDecisionSchema } from "@millrace/proto/millrace/feedback/v1/feedback_service_pb.ts";
import { readOptions } from "../../commandLine.ts";
import type { Command } from "../command.ts";
import { connectFeedback, readMax, requireApp } from "./connectFeedback.ts";
import { decisionTable } from "./decisionText.ts";

/** Lists what was decided about an app's retraining, and why. */
export const retrainingList: Command = {
  name: "retraining list",
  usage: "--app <app> [--max <n>] [--json]",
  what: "what was decided about retraining, also not to, and why; newest first",
  details: `  --app <app>   the app
  --max <n>     so many decisions, 20 when not given, at most 1000
  --json        the whole decisions, for programs`,
  async run(commandArguments) {
    const options = { app: { type: "string" }, max: { type: "string" }, json: { type: "boolean" } } as const;
    const { values } = readOptions({ args: [...commandArguments], options });
    const app = requireApp("retraining list", values.app);
    const max = readMax(values.max);
    using feedback = connectFeedback();
    const { decisions } = await feedback.listDecisions({ app, max });
    if (values.json === true) {
      console.log(
        JSON.stringify(
          decisions.map((decision) => toJson(RetrainingDecisionSchema, decision)),
          undefined,
          2,
        ),
      );
    } else if (decisions.length === 0) {
      console.log(`Nothing was decided about ${app} yet: it has seen no labels.`);
    } else console.log(decisionTable(decisions).join("\n"));
    return 0;
  },
};
