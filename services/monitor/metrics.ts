import { metrics } from "@opentelemetry/api";
import { MONITORS } from "./judgement.ts";
import type { Watcher } from "./watcher.ts";

const meter = metrics.getMeter("millrace.monitor");

/** Registers the gauges that are read from the watcher when the exporter asks. */
export function observeWatcher(watcher: Pick<Watcher, "apps" | "memory">): void {
  const openAlerts = meter.createObservableGauge("millrace.monitor.alerts.open", {
    description: "Alerts that are open",
  });
  openAlerts.addCallback((result) => {
    for (const app of watcher.apps) {
      const open = watcher.memory(app)?.policy.open ?? [];
      for (const monitor of MONITORS) {
        const ofMonitor = open.filter((alert) => alert.monitor === monitor).length;
        result.observe(ofMonitor, { "millrace.app": app, "millrace.monitor": monitor });
      }
    }
  });
}
