import { create } from "@bufbuild/protobuf";
import {
  FeedbackService,
  ReadOutcomesResponseSchema,
} from "@millrace/proto/millrace/feedback/v1/feedback_service_pb.ts";
import { type ImplementedService, implement } from "@millrace/rpc";
import { MillraceError } from "@millrace/runtime";
import type { FollowedApp } from "./apps.ts";
import type { Reports } from "./reports.ts";

const ROWS_PER_MESSAGE = 1_000;

/** `millrace.feedback.v1.FeedbackService`. */
export function feedbackService(reports: Reports, find: (name: string) => FollowedApp | undefined): ImplementedService {
  const appOf = (name: string): FollowedApp => {
    const app = find(name);
    if (app !== undefined) return app;
    throw new MillraceError("not_found", `app: there is no app ${JSON.stringify(name)}; apply its file first`);
  };
  return implement(FeedbackService, {
    getSummary: async ({ app }) => reports.summary(app, appOf(app).label.waitMs),
    async *readOutcomes({ app }) {
      appOf(app);
      for await (const rows of reports.outcomes(app, ROWS_PER_MESSAGE))
        yield create(ReadOutcomesResponseSchema, { rows });
    },
  });
}
