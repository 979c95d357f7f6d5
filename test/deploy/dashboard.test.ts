import assert from "node:assert/strict";
import { globSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import { MadeBy } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import { parser } from "@prometheus-io/lezer-promql";
import { parse } from "yaml";
import { compose, ROOT, readFromRoot } from "./composeFile.ts";
import { createdInstruments, type Instrument, seriesOf } from "./instruments.ts";

interface Panel {
  readonly id: number;
  readonly title: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets: readonly {
    readonly expr: string;
    readonly legendFormat: string;
    readonly datasource: { readonly uid: string };
  }[];
}

const dashboard = JSON.parse(readFromRoot("deploy/grafana/dashboards/overview.json")) as {
  uid: string;
  panels: Panel[];
};
// Grafana fills its own variables in before Prometheus sees the query.
const queries = dashboard.panels.flatMap(({ title, targets }) =>
  targets.map(({ expr, legendFormat }) => ({ title, legendFormat, text: expr.replaceAll("$__rate_interval", "20s") })),
);
const METRIC_MODULES = globSync("services/*/metrics.ts", { cwd: ROOT }).sort();

let instruments: Instrument[];

before(async () => {
  instruments = await createdInstruments(async () => {
    for (const module of METRIC_MODULES) await import(join(ROOT, module));
    const { PredictCounts } = await import("../../services/inference-gateway/metrics.ts");
    new PredictCounts().observe();
    const { observeWatcher } = await import("../../services/monitor/metrics.ts");
    observeWatcher({ apps: [], memory: () => undefined });
  });
});

/** The names of a kind in a query, or undefined when it is no PromQL. */
function namesIn(text: string, kind: string): string[] | undefined {
  const names: string[] = [];
  let broken = false;
  parser.parse(text).iterate({
    enter(node) {
      if (node.type.isError) broken = true;
      if (node.name === kind) names.push(text.slice(node.from, node.to));
    },
  });
  return broken ? undefined : names;
}

test("the parser of these tests refuses what is no PromQL", () => {
  assert.deepEqual(namesIn("sum by (le) (rate(a_total[5m]))", "Identifier"), ["a_total"]);
  for (const broken of ["sum(rate(a_total[5m])", "rate(a_total[)", "sum by le (a)", ""])
    assert.equal(namesIn(broken, "Identifier"), undefined, broken);
});

test("every query of the dashboard is PromQL over metrics that a service emits", () => {
  assert.ok(queries.length >= 10);
  const emitted = new Set(instruments.flatMap(seriesOf));
  for (const { title, text } of queries) {
    const names = namesIn(text, "Identifier");
    assert.ok(names !== undefined && names.length > 0, `${title}: ${text}`);
    for (const name of names)
      assert.ok(emitted.has(name), `${title}: nobody emits ${name}; there are ${[...emitted].join(", ")}`);
  }
});

test("a rate is taken of counters only, and quantiles of buckets", () => {
  const kinds = new Map(instruments.flatMap((one) => seriesOf(one).map((series) => [series, one.kind] as const)));
  for (const { title, text } of queries) {
    for (const [, name = ""] of text.matchAll(/rate\((\w+)/g)) assert.notEqual(kinds.get(name), "gauge", title);
    if (text.includes("histogram_quantile")) assert.match(text, /sum by \(le\) \(rate\(\w+_bucket\[/, title);
  }
});

test("queries and legends use labels that services give", () => {
  const sources = METRIC_MODULES.map(readFromRoot).join("\n");
  const given = [...sources.matchAll(/\{ "?([a-z_.]+)"?(?=[,:} ])|, "([a-z_.]+)":/g)].map(
    ([, first, second]) => (first ?? second)?.replaceAll(".", "_") as string,
  );
  const known = new Set([...given, "le"]);
  for (const { title, text, legendFormat } of queries) {
    const grouping = [...text.matchAll(/ by \(([^)]*)\)/g)].flatMap(([, list = ""]) => list.split(/,\s*/));
    const matched = [...text.matchAll(/[{,]\s*(\w+)\s*[!=]/g)].map(([, label = ""]) => label);
    for (const label of [...grouping, ...matched]) assert.ok(known.has(label), `${title}: label ${label}`);
    for (const [, label = ""] of legendFormat.matchAll(/\{\{(\w+)\}\}/g))
      assert.ok(grouping.includes(label), `${title}: the legend shows ${label}, by which nothing is grouped`);
    for (const [, values = ""] of text.matchAll(/millrace_made_by(?:=|!=|=~|!~)"([\w|]+)"/g))
      for (const value of values.split("|")) assert.ok(value in MadeBy, `${title}: ${value}`);
  }
});

test("panels have titles of their own and do not overlap", () => {
  const taken = new Map<string, string>();
  for (const { title, gridPos } of dashboard.panels) {
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1) {
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) {
        assert.ok(x < 24 && !taken.has(`${x},${y}`), `${title} and ${taken.get(`${x},${y}`)}`);
        taken.set(`${x},${y}`, title);
      }
    }
  }
  assert.equal(new Set(dashboard.panels.map(({ title }) => title)).size, dashboard.panels.length);
  assert.equal(new Set(dashboard.panels.map(({ id }) => id)).size, dashboard.panels.length);
});

test("Grafana finds its data sources and the dashboard where compose puts them", () => {
  const { datasources } = parse(readFromRoot("deploy/grafana/provisioning/datasources/millrace.yaml")) as {
    datasources: { uid: string; url: string }[];
  };
  for (const { targets } of dashboard.panels)
    for (const { datasource } of targets) assert.ok(datasources.some(({ uid }) => uid === datasource.uid));
  for (const { url } of datasources) {
    const { hostname, port } = new URL(url);
    assert.ok(
      compose.services[hostname]?.ports?.some((published) => published.endsWith(`:${port}`)),
      url,
    );
  }
  const { providers } = parse(readFromRoot("deploy/grafana/provisioning/dashboards/millrace.yaml")) as {
    providers: { options: { path: string } }[];
  };
  const mounts = compose.services["grafana"]?.volumes ?? [];
  for (const { options } of providers)
    assert.ok(mounts.includes(`./deploy/grafana/dashboards:${options.path}:ro`), options.path);
});

test("metrics go from the services to the collector to Prometheus, traces to Jaeger", () => {
  const collector = parse(readFromRoot("deploy/otel/collector.yaml")) as {
    receivers: { otlp: { protocols: { http: { endpoint: string } } } };
    exporters: { "otlp/jaeger": { endpoint: string }; prometheus: { endpoint: string } };
    service: { pipelines: Record<string, Record<"receivers" | "processors" | "exporters", string[]>> };
  };
  const port = (address: string): string | undefined => address.split(":").at(-1);
  assert.equal(port(collector.receivers.otlp.protocols.http.endpoint), "4318");
  assert.equal(collector.exporters["otlp/jaeger"].endpoint, "jaeger:4317");
  assert.ok("jaeger" in compose.services);
  const prometheus = parse(readFromRoot("deploy/prometheus/prometheus.yml")) as {
    scrape_configs: { static_configs: { targets: string[] }[] }[];
  };
  const targets = prometheus.scrape_configs.flatMap((job) => job.static_configs.flatMap((one) => one.targets));
  assert.deepEqual(targets, [`otel-collector:${port(collector.exporters.prometheus.endpoint)}`]);
  assert.ok("otel-collector" in compose.services);
  const parts = collector as unknown as Record<string, Record<string, unknown>>;
  for (const [name, pipeline] of Object.entries(collector.service.pipelines)) {
    for (const [part, used] of Object.entries(pipeline)) {
      for (const one of used) assert.ok(parts[part]?.[one] !== undefined, `${name}: ${part} has no ${one}`);
    }
  }
  for (const [file, service] of [
    ["deploy/otel/collector.yaml", "otel-collector"],
    ["deploy/prometheus/prometheus.yml", "prometheus"],
  ] as const)
    assert.ok(
      compose.services[service]?.volumes?.some((volume) => volume.startsWith(`./${file}:`)),
      file,
    );
});
