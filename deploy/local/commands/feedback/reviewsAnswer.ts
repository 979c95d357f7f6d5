import { MillraceError } from "@millrace/runtime";
import { readOptions } from "../../commandLine.ts";
import type { Command } from "../command.ts";
import { connectFeedback, requireApp, whoIsThis } from "./connectFeedback.ts";

/** Answers a review; the answer comes back as a label. */
export const reviewsAnswer: Command = {
  name: "reviews answer",
  usage: "<prediction> <value> --app <app> [--who <name>] [--note <text>]",
  what: "say what is true about a prediction that people are asked about",
  details: `  <value>        0 or 1 for binary tasks
  --app <app>    the app
  --who <name>   who says so, when it is not you
  --note <text>  kept with the answer`,
  async run(commandArguments) {
    const options = { app: { type: "string" }, who: { type: "string" }, note: { type: "string" } } as const;
    const { values, positionals } = readOptions({ args: [...commandArguments], options, allowPositionals: true });
    const [predictionId, text, ...more] = positionals;
    const value = Number(text);
    if (
      predictionId === undefined ||
      text === undefined ||
      text.trim() === "" ||
      Number.isNaN(value) ||
      more.length > 0
    ) {
      throw new MillraceError("invalid_argument", "reviews answer takes a prediction's id and a number: see --help");
    }
    const app = requireApp("reviews answer", values.app);
    using feedback = connectFeedback();
    const who = values.who ?? (whoIsThis() || "somebody");
    const { answer } = await feedback.answerReview({ app, predictionId, value, who, note: values.note ?? "" });
    console.log(`${answer?.who} says ${answer?.value} about ${predictionId}; it becomes the label ${answer?.eventId}.`);
    return 0;
  },
};
