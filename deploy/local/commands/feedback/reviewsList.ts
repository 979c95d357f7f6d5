import { toJson } from "@bufbuild/protobuf";
import { ReviewSchema } from "@millrace/proto/millrace/feedback/v1/review_pb.ts";
import { readOptions } from "../../commandLine.ts";
import type { Command } from "../command.ts";
import { connectFeedback, readMax, requireApp, whoIsThis } from "./connectFeedback.ts";
import { reviewTable } from "./reviewText.ts";

/** Lists the predictions that people are asked about. */
export const reviewsList: Command = {
  name: "reviews list",
  usage: "--app <app> [--take] [--who <name>] [--max <n>] [--json]",
  what: "predictions that people are asked about, the most urgent first",
  details: `  --app <app>   the app
  --take        take them in hand for a quarter of an hour: nobody else gets them meanwhile
  --who <name>  who takes them, when it is not you
  --max <n>     so many, 20 when not given, at most 1000
  --json        the whole reviews, for programs`,
  async run(commandArguments) {
    const options = {
      app: { type: "string" },
      take: { type: "boolean" },
      who: { type: "string" },
      max: { type: "string" },
      json: { type: "boolean" },
    } as const;
    const { values } = readOptions({ args: [...commandArguments], options });
    const app = requireApp("reviews list", values.app);
    const who = values.take === true ? (values.who ?? (whoIsThis() || "somebody")) : "";
    const max = readMax(values.max);
    using feedback = connectFeedback();
    const { reviews } = await feedback.listReviews({ app, max, who });
    if (values.json === true) {
      console.log(
        JSON.stringify(
          reviews.map((review) => toJson(ReviewSchema, review)),
          undefined,
          2,
        ),
      );
    } else if (reviews.length === 0) {
      console.log(`Nobody is asked about a prediction of ${app} now; label.review in its file says which would be.`);
    } else console.log(reviewTable(reviews).join("\n"));
    return 0;
  },
};
