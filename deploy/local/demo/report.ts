import { durationMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { Bus } from "@millrace/bus";
import { FeedbackService } from "@millrace/proto/millrace/feedback/v1/feedback_service_pb.ts";
import { EventLogService } from "@millrace/proto/millrace/ingestion/v1/event_log_pb.ts";
import { AlertSchema, AlertState, Severity } from "@millrace/proto/millrace/monitor/v1/alert_pb.ts";
import { ModelState, type ModelVersion } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { RegistryService } from "@millrace/proto/millrace/training/v1/registry_service_pb.ts";
import { connectRpc } from "@millrace/rpc";
import type { Platform } from "../platform.ts";
import type { Invariant } from "./invariants.ts";
import type { Progress } from "./progress.ts";
import { judge, type Quality } from "./quality.ts";
import { streamMessages } from "./streamMessages.ts";

/** One phase of the demonstration, by the wall clock. */
export interface Phase {
  readonly name: string;
  readonly seconds: number;
  readonly events: number;
  readonly predictions: number;
}

export interface Report {
  readonly period: { readonly from: string; readonly liveFrom: string; readonly to: string };
  readonly events: {
    readonly published: number;
    readonly accepted: number;
    readonly rejected: Readonly<Record<string, number>>;
    readonly duplicates: number;
  };
  readonly predictions: {
    readonly answered: number;
    readonly madeBy: Readonly<Record<string, number>>;
    readonly fallbackReasons: Readonly<Record<string, number>>;
    readonly unrecorded: number;
    /** Features that are not certain to be what a dataset will hold for the same moment. */
    readonly withInexactFeatures: number;
    readonly retries: number;
    readonly p50Ms: number;
    readonly p99Ms: number;
  };
  readonly labels: {
    readonly outcomes: number;
    readonly coverage: number;
    readonly medianDelayMinutes: number;
    readonly open: number;
    readonly neverLabelled: number;
  };
  readonly quality: Quality | undefined;
  readonly models: readonly ModelLine[];
  readonly decisions: readonly { readonly at: string; readonly trigger: string; readonly reason: string }[];
  readonly alerts: readonly AlertLine[];
  readonly phases: readonly Phase[];
  readonly invariants: readonly Invariant[];
}

export interface ModelLine {
  readonly version: string;
  readonly algorithm: string;
  readonly state: string;
  readonly asOf: string;
  readonly metrics: Readonly<Record<string, number>>;
  readonly verdict: readonly string[];
}

export interface AlertLine {
  readonly monitor: string;
  readonly severity: string;
  readonly state: string;
  readonly openedAt: string;
  readonly changedAt: string;
  readonly title: string;
}

export interface ReportInputs {
  readonly app: string;
  readonly platform: Platform;
  readonly bus: Bus;
  readonly progress: Progress;
  readonly period: Report["period"];
  readonly phases: readonly Phase[];
  readonly invariants: readonly Invariant[];
}

/** Asks the services what came of it all. */
export async function makeReport({
  app,
  platform,
  bus,
  progress,
  period,
  phases,
  invariants,
}: ReportInputs): Promise<Report> {
  using eventLog = connectRpc(EventLogService, platform.grpc("ingestion"));
  using feedback = connectRpc(FeedbackService, platform.grpc("feedback"));
  using registry = connectRpc(RegistryService, platform.grpc("training"));
  const events = await eventLog.countEvents({ app });
  const summary = await feedback.getSummary({ app });
  const { models } = await registry.listModels({ app });
  const oldestFirst = models.toSorted((left, right) => left.number - right.number);
  const first = oldestFirst.find(({ state }) => state === ModelState.CHAMPION || state === ModelState.RETIRED);
  const addresses = { feedback: platform.grpc("feedback"), training: platform.grpc("training") };
  const outcomes = Number(summary.outcomes);
  return {
    period,
    events: {
      published: progress.published,
      accepted: Object.values(events.accepted).reduce((sum, count) => sum + Number(count), 0),
      rejected: numbers(events.rejected),
      duplicates: Number(events.duplicates),
    },
    predictions: {
      answered: progress.predicted,
      madeBy: progress.madeBy,
      fallbackReasons: progress.fallbackReasons,
      unrecorded: progress.unrecorded,
      withInexactFeatures: progress.inexactFeatures,
      retries: progress.retries,
      p50Ms: progress.latencies.quantile(0.5),
      p99Ms: progress.latencies.quantile(0.99),
    },
    labels: {
      outcomes,
      coverage: progress.predicted === 0 ? 0 : outcomes / progress.predicted,
      medianDelayMinutes:
        summary.medianLabelDelay === undefined ? Number.NaN : durationMs(summary.medianLabelDelay) / 60_000,
      open: Number(summary.open),
      neverLabelled: Number(summary.neverLabelled),
    },
    quality: first === undefined ? undefined : await judge(app, addresses, first),
    models: oldestFirst.map(modelLine),
    decisions: summary.decisions
      .filter(({ retrain }) => retrain)
      .map(({ decidedAt, trigger, reason }) => ({
        at: decidedAt === undefined ? "" : minute(timestampMs(decidedAt)),
        trigger,
        reason,
      }))
      .reverse(),
    alerts: await alertLines(bus, app),
    phases,
    invariants,
  };
}

function modelLine(model: ModelVersion): ModelLine {
  return {
    version: `${model.app}/${model.number}`,
    algorithm: model.algorithm,
    state: nameOf(ModelState, model.state),
    asOf: model.asOf === undefined ? "" : minute(timestampMs(model.asOf)),
    metrics: model.metrics,
    verdict: model.verdict,
  };
}

/** The last word on each alert, in the order in which they opened. */
async function alertLines(bus: Bus, app: string): Promise<AlertLine[]> {
  const last = new Map<string, AlertLine>();
  for await (const alert of streamMessages(bus, "ALERTS", `alerts.${app}.>`, AlertSchema)) {
    last.set(alert.id, {
      monitor: alert.monitor,
      severity: nameOf(Severity, alert.severity),
      state: nameOf(AlertState, alert.state),
      openedAt: alert.openedAt === undefined ? "" : minute(timestampMs(alert.openedAt)),
      changedAt: alert.changedAt === undefined ? "" : minute(timestampMs(alert.changedAt)),
      title: alert.title,
    });
  }
  return [...last.values()];
}

function nameOf(names: Readonly<Record<string, number>>, value: number): string {
  const name = Object.keys(names).find((key) => names[key] === value);
  return (name ?? String(value)).toLowerCase();
}

const minute = (timeMs: number): string => new Date(timeMs).toISOString().slice(0, 16).replace("T", " ");

const numbers = (counts: Readonly<Record<string, bigint>>): Record<string, number> =>
  Object.fromEntries(Object.entries(counts).map(([name, count]) => [name, Number(count)]));
