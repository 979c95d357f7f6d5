import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  AnswerReviewResponseSchema,
  FeedbackService,
  LabelReportSchema,
  ListContradictionsResponseSchema,
  ListDecisionsResponseSchema,
  ListReviewsResponseSchema,
  ReadOutcomesResponseSchema,
  ReportBatchResponseSchema,
  ReportResponseSchema,
  RequestRetrainingResponseSchema,
} from "@millrace/proto/millrace/feedback/v1/feedback_service_pb.ts";
import { type ImplementedService, implement } from "@millrace/rpc";
import { MillraceError } from "@millrace/runtime";
import type { FollowedApp } from "./apps.ts";
import { checkValue } from "./labelReport.ts";
import type { LabelWatch } from "./labelWatch.ts";
import type { Reporter } from "./reporter.ts";
import type { Reports } from "./reports.ts";
import { checkTexts, throwViolations } from "./requestRules.ts";
import type { Retraining } from "./retraining.ts";
import type { ReviewQueue } from "./reviewQueue.ts";

const ROWS_PER_MESSAGE = 1_000;
const MOST_ROWS = 1_000;
const DEFAULT_LEASE_SECONDS = 900;
const MOST_LEASE_SECONDS = 86_400;

export interface FeedbackServiceOptions {
  readonly reports: Reports;
  readonly labelWatch: LabelWatch;
  readonly retraining: Retraining;
  readonly reporter: Reporter;
  readonly reviews: ReviewQueue;
  readonly app: (name: string) => FollowedApp | undefined;
}

/** `millrace.feedback.v1.FeedbackService`. */
export function feedbackService({
  reports,
  labelWatch,
  retraining,
  reporter,
  reviews,
  app: find,
}: FeedbackServiceOptions): ImplementedService {
  const appOf = (name: string): FollowedApp => {
    const app = find(name);
    if (app !== undefined) return app;
    throw new MillraceError("not_found", `app: there is no app ${JSON.stringify(name)}; apply its file first`);
  };
  return implement(FeedbackService, {
    async getSummary({ app }) {
      const followed = appOf(app);
      const summary = await reports.summary(app, followed.label.window.waitMs);
      summary.labels = await labelWatch.quality(followed);
      if (followed.holdsOut) Object.assign(summary, await reports.selection(app));
      return summary;
    },
    async report({ app, label = create(LabelReportSchema) }) {
      const [taken] = await reporter.report(appOf(app).reports, [label], () => "label");
      return create(ReportResponseSchema, { joinKey: taken?.joinKey ?? "", eventId: taken?.eventId ?? "" });
    },
    async reportBatch({ app, labels }) {
      const taken = await reporter.report(appOf(app).reports, labels, (place) => `labels[${place}]`);
      return create(ReportBatchResponseSchema, {
        labels: taken.map(({ joinKey, eventId }) => create(ReportResponseSchema, { joinKey, eventId })),
      });
    },
    async listReviews({ app, max, who, leaseSeconds }) {
      appOf(app);
      checkTexts({ who }, {});
      const leaseMs = 1_000 * Math.min(leaseSeconds || DEFAULT_LEASE_SECONDS, MOST_LEASE_SECONDS);
      return create(ListReviewsResponseSchema, {
        reviews: await reviews.list(app, Math.min(max || 20, MOST_ROWS), who, leaseMs),
      });
    },
    async answerReview({ app, predictionId, value, who, note }) {
      const followed = appOf(app);
      checkTexts({ who, note }, { who: true });
      throwViolations(checkValue(value, followed.reports, "value"));
      return create(AnswerReviewResponseSchema, {
        answer: await reviews.answer(followed, { predictionId, value, who, note }),
      });
    },
    async listDecisions({ app, max, before }) {
      appOf(app);
      const decisions = await reports.decisions(app, Math.min(max || 100, MOST_ROWS), before);
      return create(ListDecisionsResponseSchema, { decisions });
    },
    async requestRetraining({ app, why, who, despiteDataQuality }) {
      const followed = appOf(app);
      checkTexts({ why, who }, { why: true });
      const { decision, jobId } = await retraining.askByHand(followed, { why, who, despiteDataQuality });
      const { atMs, ...rest } = decision;
      return create(RequestRetrainingResponseSchema, {
        decision: { ...rest, jobId, decidedAt: timestampFromMs(atMs) },
      });
    },
    async listContradictions({ app, max }) {
      appOf(app);
      const contradictions = await reports.contradictions(app, Math.min(max || 100, MOST_ROWS));
      return create(ListContradictionsResponseSchema, { contradictions });
    },
    async *readOutcomes({ app }) {
      const { classes } = appOf(app);
      for await (const rows of reports.outcomes(app, classes, ROWS_PER_MESSAGE))
        yield create(ReadOutcomesResponseSchema, { rows });
    },
  });
}
