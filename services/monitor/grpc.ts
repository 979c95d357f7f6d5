import { randomUUID } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { durationToMs } from "@millrace/app";
import { AcknowledgementSchema, type Alert } from "@millrace/proto/millrace/monitor/v1/alert_pb.ts";
import {
  AcknowledgeAlertResponseSchema,
  EndMuteResponseSchema,
  GetAlertResponseSchema,
  GetStatusResponseSchema,
  MonitorService,
  MuteAlertsResponseSchema,
  MuteSchema,
} from "@millrace/proto/millrace/monitor/v1/monitor_service_pb.ts";
import { type ImplementedService, implement } from "@millrace/rpc";
import { MillraceError } from "@millrace/runtime";
import { MONITORS } from "./judgement.ts";
import type { Models } from "./models.ts";
import type { PeopleStore } from "./peopleStore.ts";
import { ROLLBACK } from "./rollbackAlerts.ts";
import type { MonitorStore, StoredWindow } from "./store.ts";
import { NO_MODEL } from "./watchedModel.ts";
import type { Watcher } from "./watcher.ts";
import { Window } from "./window.ts";
import { windowMessage } from "./windowMessage.ts";

export interface MonitorParts {
  readonly watcher: Watcher;
  readonly store: MonitorStore;
  readonly people: PeopleStore;
  readonly models: Models;
}

const DEFAULT_WINDOWS = 50;
const MOST_WINDOWS = 1_000;
const MOST_ALERTS = 100;
const MUTABLE = [...MONITORS, ROLLBACK];

/** `millrace.monitor.v1.MonitorService`. */
export function monitorService({ watcher, store, people, models }: MonitorParts): ImplementedService {
  return implement(MonitorService, {
    getStatus: async ({ app, maxWindows }) => {
      requireApp(watcher, app);
      const memory = watcher.memory(app);
      const limit = Math.min(maxWindows || DEFAULT_WINDOWS, MOST_WINDOWS);
      const [windows, alerts, mutes] = await Promise.all([
        store.newestWindows(app, memory?.watermarkMs ?? 0, limit),
        store.alerts(app, MOST_ALERTS).then((newest) => people.withAcknowledgements(newest)),
        people.mutes(app, memory?.watermarkMs ?? 0),
      ]);
      return create(GetStatusResponseSchema, {
        windows: windows.map((stored) =>
          windowMessage(windowOf(stored, models), stored.toMs, watcher.rules(app)?.seasonMs ?? 0),
        ),
        alerts,
        predictionsSeen: BigInt(memory?.predictionsSeen ?? 0),
        outcomesSeen: BigInt(memory?.outcomesSeen ?? 0),
        mutes,
      });
    },
    getAlert: async ({ id }) => create(GetAlertResponseSchema, { alert: await alertOf(people, id) }),
    acknowledgeAlert: async ({ id, by, note }) => {
      requireText("by", by, "who takes it on");
      await alertOf(people, id);
      const at = timestampFromMs(Date.now());
      await people.acknowledge(id, create(AcknowledgementSchema, { by, note, at }));
      return create(AcknowledgeAlertResponseSchema, { alert: await alertOf(people, id) });
    },
    muteAlerts: async ({ app, monitor, subject, duration, by, reason }) => {
      requireApp(watcher, app);
      requireText("by", by, "who does not want to be told");
      const durationMs = duration === undefined ? 0 : durationToMs(duration);
      if (durationMs === undefined || durationMs <= 0)
        throw invalid("duration", "too_short", `must be longer than 0s; it is ${durationMs ?? 0}ms`);
      if (monitor !== "" && !MUTABLE.some((name) => name === monitor))
        throw invalid("monitor", "unknown_monitor", `${JSON.stringify(monitor)} is none of ${MUTABLE.join(", ")}`);
      const until = timestampFromMs((watcher.memory(app)?.watermarkMs ?? 0) + durationMs);
      const mute = create(MuteSchema, { id: `mute-${randomUUID()}`, app, monitor, subject, until, by, reason });
      await people.addMute(mute);
      return create(MuteAlertsResponseSchema, { mute });
    },
    endMute: async ({ id }) => {
      if (!(await people.endMute(id)))
        throw new MillraceError("not_found", `id: there is no mute ${JSON.stringify(id)}; the app's status lists them`);
      return create(EndMuteResponseSchema);
    },
  });
}

function windowOf({ key, sums }: StoredWindow, models: Models): Window {
  return new Window(key, models.get(key.version) ?? { ...NO_MODEL, version: key.version }, sums);
}

function requireApp(watcher: Watcher, app: string): void {
  if (watcher.knows(app)) return;
  throw new MillraceError("not_found", `app: there is no app ${JSON.stringify(app)}; apply its file first`);
}

function requireText(field: string, value: string, what: string): void {
  if (value.trim() === "") throw invalid(field, "required", `is empty; say ${what}`);
}

async function alertOf(people: PeopleStore, id: string): Promise<Alert> {
  const alert = await people.alert(id);
  if (alert !== undefined) return alert;
  throw new MillraceError("not_found", `id: there is no alert ${JSON.stringify(id)}; the app's status lists them`);
}

function invalid(field: string, reason: string, description: string): MillraceError {
  const violations = [{ field, reason, description }];
  return new MillraceError("invalid_argument", `${field}: ${description}`, { violations });
}
