import { timestampMs } from "@bufbuild/protobuf/wkt";
import { decode, done, type JsMsg, type Outcome } from "@millrace/bus";
import { AlertSchema, AlertState } from "@millrace/proto/millrace/monitor/v1/alert_pb.ts";
import { ModelEventSchema } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import type { FollowedApp } from "./apps.ts";
import type { Retraining } from "./retraining.ts";
import type { RetrainingStore } from "./retrainingStore.ts";

export interface NewsOptions {
  readonly store: RetrainingStore;
  readonly retraining: Retraining;
  readonly app: (name: string) => FollowedApp | undefined;
}

/** Handles messages of MODELS: trainings that ended, and who serves now. */
export function handleModelEvents({
  store,
  retraining,
  app,
}: NewsOptions): (messages: readonly JsMsg[]) => Promise<Outcome> {
  return async (messages) => {
    for (const message of messages) {
      const event = decode(ModelEventSchema, message.data);
      const { model } = event;
      await store.applyModelNews({
        app: event.app,
        what: event.what,
        version: model === undefined ? "" : `${model.app}/${model.number}`,
        asOfMs: model?.asOf === undefined ? undefined : timestampMs(model.asOf),
        jobId: event.jobId,
        sequence: message.seq,
      });
      const followed = app(event.app);
      if (followed !== undefined) await retraining.ask(followed);
    }
    return done();
  };
}

/** Handles messages of ALERTS: what drifted, and what got worse. */
export function handleAlerts({
  store,
  retraining,
  app,
}: NewsOptions): (messages: readonly JsMsg[]) => Promise<Outcome> {
  return async (messages) => {
    for (const message of messages) {
      const alert = decode(AlertSchema, message.data);
      await store.applyAlertNews({
        app: alert.app,
        monitor: alert.monitor,
        id: alert.id,
        modelVersion: alert.modelVersion,
        title: alert.title,
        openedAtMs: alert.openedAt === undefined ? 0 : timestampMs(alert.openedAt),
        changedAtMs: alert.changedAt === undefined ? 0 : timestampMs(alert.changedAt),
        resolved: alert.state === AlertState.RESOLVED,
      });
      const followed = app(alert.app);
      if (followed !== undefined) await retraining.ask(followed);
    }
    return done();
  };
}
