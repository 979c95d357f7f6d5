import { type MeterProvider, metrics } from "@opentelemetry/api";

/** A metric as a service creates it. */
export interface Instrument {
  readonly name: string;
  readonly kind: "counter" | "gauge" | "histogram";
  /** UCUM, such as `ms`; empty for a count of things. */
  readonly unit: string;
}

/** The units that Millrace uses, in the words of Prometheus's conventions. */
const UNIT_NAMES: Readonly<Record<string, string>> = { ms: "milliseconds", s: "seconds", By: "bytes", "1": "ratio" };

/**
 * The instruments that the services' own modules create when they are loaded, observed ones included. Call it before any of these
 * modules was imported: an instrument takes the meter that is there then.
 */
export async function createdInstruments(load: () => Promise<void>): Promise<Instrument[]> {
  const created: Instrument[] = [];
  const add = (kind: Instrument["kind"]) => (name: string, options: { unit?: string } | undefined) => {
    created.push({ name, kind, unit: options?.unit ?? "" });
    const ignore = (): void => undefined;
    return { add: ignore, record: ignore, addCallback: ignore, removeCallback: ignore };
  };
  const meter = {
    createCounter: add("counter"),
    createObservableCounter: add("counter"),
    createUpDownCounter: add("gauge"),
    createObservableUpDownCounter: add("gauge"),
    createGauge: add("gauge"),
    createObservableGauge: add("gauge"),
    createHistogram: add("histogram"),
  };
  metrics.setGlobalMeterProvider({ getMeter: () => meter } as unknown as MeterProvider);
  try {
    await load();
  } finally {
    metrics.disable();
  }
  return created;
}

/**
 * The series that Prometheus has of an instrument, after the collector's Prometheus exporter: dots become underscores, the unit
 * follows the name, counters end in `_total`. Source: "Prometheus and OpenMetrics Compatibility", OpenTelemetry specification.
 */
export function seriesOf({ name, kind, unit }: Instrument): string[] {
  const plain = name.replaceAll(/[^a-zA-Z0-9_:]/g, "_");
  const unitName = UNIT_NAMES[unit];
  if (unit !== "" && unitName === undefined) throw new Error(`${name}: the unit ${unit} has no name here`);
  const withUnit = unitName === undefined || plain.endsWith(`_${unitName}`) ? plain : `${plain}_${unitName}`;
  switch (kind) {
    case "counter":
      return [plain.endsWith("_total") ? withUnit : `${withUnit}_total`];
    case "gauge":
      return [withUnit];
    case "histogram":
      return ["bucket", "sum", "count"].map((part) => `${withUnit}_${part}`);
  }
}
