import { metrics } from "@opentelemetry/api";
import type { Watcher } from "./watcher.ts";

const meter = metrics.getMeter("millrace.monitor");

/** Registers the gauges that are read from the watcher when the exporter asks. */
export function observeWatcher(watcher: Pick<Watcher, "apps" | "memory">): void {
  const openAlerts = meter.createObservableGauge("millrace.monitor.alerts.open", {
    description: "Alerts that are open",
  });
  openAlerts.addCallback((result) => {
    for (const app of watcher.apps) {
      for (const [monitor, alert] of Object.entries(watcher.memory(app)?.alerts ?? {}))
        result.observe(alert.open === undefined ? 0 : 1, { "millrace.app": app, "millrace.monitor": monitor });
    }
  });
}
