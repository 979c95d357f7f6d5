import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { populationStability } from "@millrace/metrics";
import {
  GetStatusResponseSchema,
  MonitorService,
  type Window as WindowMessage,
  WindowSchema,
} from "@millrace/proto/millrace/monitor/v1/monitor_service_pb.ts";
import { type ImplementedService, implement } from "@millrace/rpc";
import { MillraceError } from "@millrace/runtime";
import { expectedLogLoss } from "./judgement.ts";
import type { Models } from "./models.ts";
import type { MonitorStore, StoredWindow } from "./store.ts";
import { NO_MODEL } from "./watchedModel.ts";
import type { Watcher } from "./watcher.ts";
import { Window } from "./window.ts";

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
        windows: windows.map((stored) => describeWindow(stored, models)),
        alerts,
        predictionsSeen: BigInt(memory?.predictionsSeen ?? 0),
        outcomesSeen: BigInt(memory?.outcomesSeen ?? 0),
      });
    },
  });
}

/** Calculated from the sums as they are now, so that late outcomes are in. Without outcomes their figures are 0. */
function describeWindow({ key, toMs, sums }: StoredWindow, models: Models): WindowMessage {
  const window = new Window(key, models.get(key.version) ?? { ...NO_MODEL, version: key.version }, sums);
  const { truth, predictions, fallbacks, model } = window;
  const psi: Record<string, number> = {};
  const missing: Record<string, number> = {};
  model.subjects.forEach(({ name, shares }, index) => {
    const counts = window.subject(index);
    const rows = counts.present + counts.missing;
    psi[name] = populationStability(counts.bins, shares);
    missing[name] = rows === 0 ? 0 : counts.missing / rows;
  });
  const judged = truth.count > 0;
  return create(WindowSchema, {
    from: timestampFromMs(key.fromMs),
    to: timestampFromMs(toMs),
    modelVersion: key.version,
    predictions: BigInt(predictions),
    outcomes: BigInt(Math.round(truth.count)),
    fallbackShare: predictions === 0 ? 0 : fallbacks / predictions,
    psi,
    missing,
    logLoss: judged ? truth.logLoss : 0,
    expectedLogLoss: judged ? expectedLogLoss(truth.expectedLogLoss, model.holdoutLogLoss) : 0,
    auc: judged ? truth.auc : 0,
    calibrationError: judged ? truth.calibrationError : 0,
  });
}
