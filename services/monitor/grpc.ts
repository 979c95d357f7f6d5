import { create } from "@bufbuild/protobuf";
import { GetStatusResponseSchema, MonitorService } from "@millrace/proto/millrace/monitor/v1/monitor_service_pb.ts";
import { type ImplementedService, implement } from "@millrace/rpc";
import { MillraceError } from "@millrace/runtime";
import type { Models } from "./models.ts";
import type { MonitorStore, StoredWindow } from "./store.ts";
import { NO_MODEL } from "./watchedModel.ts";
import type { Watcher } from "./watcher.ts";
import { Window } from "./window.ts";
import { windowMessage } from "./windowMessage.ts";

const DEFAULT_WINDOWS = 50;
const MOST_WINDOWS = 1_000;
const MOST_ALERTS = 100;

/** `millrace.monitor.v1.MonitorService`. */
export function monitorService(watcher: Watcher, store: MonitorStore, models: Models): ImplementedService {
  return implement(MonitorService, {
    getStatus: async ({ app, maxWindows }) => {
      if (!watcher.knows(app)) {
        throw new MillraceError("not_found", `app: there is no app ${JSON.stringify(app)}; apply its file first`);
      }
      const memory = watcher.memory(app);
      const limit = Math.min(maxWindows || DEFAULT_WINDOWS, MOST_WINDOWS);
      const [windows, alerts] = await Promise.all([
        store.newestWindows(app, memory?.watermarkMs ?? 0, limit),
        store.alerts(app, MOST_ALERTS),
      ]);
      return create(GetStatusResponseSchema, {
        windows: windows.map((stored) =>
          windowMessage(windowOf(stored, models), stored.toMs, watcher.rules(app)?.seasonMs ?? 0),
        ),
        alerts,
        predictionsSeen: BigInt(memory?.predictionsSeen ?? 0),
        outcomesSeen: BigInt(memory?.outcomesSeen ?? 0),
      });
    },
  });
}

function windowOf({ key, sums }: StoredWindow, models: Models): Window {
  return new Window(key, models.get(key.version) ?? { ...NO_MODEL, version: key.version }, sums);
}
