import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { clone } from "@bufbuild/protobuf";
import {
  Aggregate,
  Algorithm,
  type App,
  Approval,
  AppSchema,
  FieldType,
} from "@millrace/proto/millrace/app/v1/app_pb.ts";
import type { MillraceError } from "@millrace/runtime";
import { checkCompatible } from "./compatibility.ts";
import { formatDuration, parseDurationMs } from "./duration.ts";
import { parseApp } from "./parseApp.ts";
import { compilePattern } from "./pattern.ts";
import { durationToMs, tileLengthMs, windowLengthMs } from "./tile.ts";

const FLIGHTS = readFileSync(new URL("../../../deploy/apps/flight-delays/app.yaml", import.meta.url), "utf8");

/** The violations of the flights' file after a change, as `path reason`. */
function mistakes(...changes: readonly (readonly [string | RegExp, string])[]): string[] {
  let text = FLIGHTS;
  for (const [from, to] of changes) {
    const changed = text.replace(from, to);
    assert.notEqual(changed, text, `${from} is not in the file`);
    text = changed;
  }
  try {
    parseApp(text);
  } catch (error) {
    return (error as MillraceError).violations.map(({ field, reason }) => `${field} ${reason}`);
  }
  return [];
}

test("the flights' file is read: durations, short names, shares, lists for keys", () => {
  const app = parseApp(FLIGHTS);
  assert.equal(app.app, "flight-delays");
  assert.deepEqual(app.entities["route"]?.key, ["origin", "destination"]);
  assert.equal(app.features["origin_late_6h"]?.aggregate, Aggregate.MEAN);
  assert.equal(durationToMs(app.features["origin_late_6h"]?.window), 21_600_000);
  assert.equal(app.model?.holdout, 0.1);
  assert.deepEqual(app.model?.candidates, [Algorithm.GBDT, Algorithm.LOGISTIC]);
  assert.equal(app.events["flight.landed"]?.fields["delay"]?.type, FieldType.DOUBLE);
  assert.equal(durationToMs(app.serving?.batch?.maxDelay), 2);
});

test("every mistake is found, and names its path in the file", () => {
  assert.deepEqual(
    mistakes(
      ["window: 6h", "window: 6x"],
      ["task: BINARY", "task: GUESS"],
      ["seed: 1", "sed: 1"],
      ["holdout: 10%", "holdout: much"],
      ["required: true", "required: 1"],
    ).sort(),
    [
      'events["flight.scheduled"].fields.flight_id.required wrong_type',
      "features.origin_late_6h.window not_a_duration",
      "model.holdout wrong_type",
      "model.sed unknown_key",
      "model.task unknown_value",
    ],
  );
});

test("each rule of meaning is kept", () => {
  const cases: readonly (readonly [string | RegExp, string, readonly string[]])[] = [
    ["holdout: 10%", "holdout: 95%", ["model.holdout double.gt_lt"]],
    ['at_request: "request.distance"', 'at_request: "request.delay"', ["features.distance.at_request unknown_field"]],
    ['value: "event.delay >= 15.0"', 'value: "event.origin"', ["features.origin_late_1h.value wrong_type"]],
    ["entity: origin", "entity: airport", ["features.origin_late_1h.entity unknown_entity"]],
    ["on: flight.landed", "on: flight.crashed", ["features.origin_late_1h.on unknown_event"]],
    ["tile: 5m", "tile: 7m", ["features.origin_late_1h.tile does_not_divide"]],
    ["tile: 5m", "tile: 2h", ["features.origin_late_1h.tile out_of_range"]],
    ["tile: 5m", "tile: 1s", ["features.origin_late_1h.tile too_many_tiles"]],
    [
      "aggregate: MEAN\n    window: 1h\n    tile: 5m",
      "aggregate: DISTINCT\n    window: 1h\n    tile: 6s",
      ["features.origin_late_1h.tile too_many_tiles"],
    ],
    [
      'value: "event.delay >= 15.0"\n    aggregate: MEAN',
      'value: "event.occurred_at"\n    aggregate: LAST',
      ["features.origin_late_1h.value wrong_type"],
    ],
    ["aggregate: MEAN\n    window: 1h", "window: 1h", ["features.origin_late_1h.aggregate missing"]],
    ["aggregate: COUNT", "aggregate: MAX", ["features.origin_departures_1h.value missing"]],
    ["at: flight.scheduled", "at: flight.landed", ["label.on not_later"]],
    ["join: flight_id", "join: flight", ["label.join unknown_field", "label.join unknown_field"]],
    ["join: flight_id", "join: distance", ["label.join wrong_type", "label.join wrong_type"]],
    [/(join: flight_id\n {2}value: )"event.delay >= 15.0"/, '$1"event.delay"', ["label.value wrong_type"]],
    ["at_least: 0.5", "at_least: 0.1", ["serving.decisions[1].at_least not_descending"]],
    ["max_delay: 2ms", "max_delay: 2s", ["serving.batch.max_delay out_of_range"]],
    ["deadline: 250ms", "deadline: 2h", ["serving.deadline out_of_range"]],
    ["fallback: [PREVIOUS,", "fallback: [PREVIOUS, PREVIOUS,", ["serving.fallback[1] repeated"]],
    ["[PREVIOUS, BASELINE,", "[BASELINE, PREVIOUS,", ["serving.fallback[1] never_asked"]],
    ["constant: 0.2", "budgets: { champion: 70%, previous: 40% }", ["serving.budgets over_100_percent"]],
    ["constant: 0.2", "budgets: { champion: 0% }", ["serving.budgets.champion double.gt_lte"]],
    ["constant: 0.2", "abstain: { from: 60%, to: 40% }", ["serving.abstain.from empty_range"]],
    ["constant: 0.2", "abstain: { from: 0.4, to: 0.6, decision: late }", ["serving.abstain.decision repeated"]],
    ["constant: 0.2", "abstain: { from: 0.2, to: 0.6 }", ["serving.decisions[1] never_chosen"]],
    [/decisions:\n( {4}- .*\n)+/, "abstain: { from: 0.4, to: 0.6 }\n", ["serving.abstain no_decisions"]],
    [
      "at_least: 0.5 }",
      "cost: { positive: 1, negative: 2 } }",
      ["serving.decisions[1].cost missing", "serving.decisions[2].cost missing"],
    ],
    ["constant: 0.2", "cache: { max_entries: 10 }", ["serving.cache.ttl required"]],
    ["constant: 0.2", "cache: { ttl: 2d }", ["serving.cache.ttl out_of_range"]],
    ["constant: 0.2", "canary_by: customer", ["serving.canary_by unknown_field"]],
    ["hold: 2", "hold: 3\n  hold_of: 2", ["monitoring.hold_of out_of_range"]],
    ["hold: 2", "season: 36h", ["monitoring.season out_of_range"]],
    ["hold: 2", "season: 1d", ["monitoring.season out_of_range"]],
    ["constant: 0.2", "when_missing: SOMETIMES", ["serving.when_missing unknown_value"]],
    [
      "route: [origin, destination]",
      "route: [origin, gate]",
      [
        "entities.route.key[1] unknown_field",
        "features.route_late_7d.on missing_key",
        "features.route_late_7d.entity missing_key",
      ],
    ],
    ["route: [origin, destination]", "route: [origin, distance]", ["entities.route.key[1] wrong_type"]],
    ["min: 1, max: 6000", "min: 6000, max: 1", ['events["flight.scheduled"].fields.distance.min empty_range']],
    ['pattern: "^[A-Z]{3}$"', 'pattern: "["', ['events["flight.scheduled"].fields.origin.pattern bad_pattern']],
    [
      "type: STRING, required: true, max_length: 64",
      "type: STRING, required: true, min: 1",
      ['events["flight.scheduled"].fields.flight_id.min rule_does_not_fit'],
    ],
    ["unknown_fields: KEEP", 'drop: "event.origin == 1"', ["ingestion.drop wrong_type"]],
    ["app: flight-delays", "app: Flight Delays", ["app string.pattern"]],
  ];
  for (const [from, to, expected] of cases) assert.deepEqual(mistakes([from, to]), expected, `${from} → ${to}`);
});

test("what is only counted may be of any type", () => {
  for (const aggregate of ["DISTINCT", "COUNT"]) {
    for (const value of [
      "event.flight_id",
      "event.delay",
      "event.delay > 1.0",
      "size(event.origin)",
      "event.occurred_at",
    ]) {
      const changed = FLIGHTS.replace(
        'value: "event.delay >= 15.0"\n    aggregate: MEAN',
        `value: "${value}"\n    aggregate: ${aggregate}`,
      );
      assert.notEqual(changed, FLIGHTS);
      assert.equal(parseApp(changed).features["origin_late_1h"]?.value, value);
    }
  }
});

test("a rule of the schema is told with the value that broke it", () => {
  const cases: readonly (readonly [string, string, RegExp])[] = [
    ["holdout: 10%", "holdout: 95%", /model\.holdout: must be greater than 0 and less than 0\.9; it is 0\.95$/m],
    ["app: flight-delays", "app: Flight Delays", /app: .*\^\[a-z\].*; it is "Flight Delays"$/m],
    ["wait: 36h", "wait: 0s", /label\.wait: must be greater than 0s; it is 0ms$/m],
    ["partitions: 1", "partitions: 300", /ingestion\.partitions: .*256; it is 300$/m],
  ];
  for (const [from, to, expected] of cases) assert.throws(() => parseApp(FLIGHTS.replace(from, to)), expected);
});

test("text that is not YAML is told by its line", () => {
  assert.throws(() => parseApp("app: a\nevents: {x: [}\n"), /line 2: /);
  assert.throws(() => parseApp("app: a\napp: b\n"), /line 2: Map keys must be unique/);
  assert.throws(() => parseApp("- 1\n"), /expected a mapping with app, description/);
});

test("durations are read and written", () => {
  assert.deepEqual(
    ["6h", "50ms", "7d", "1h30m", "1.5h", "2w", "0s"].map(parseDurationMs),
    [21_600_000, 50, 604_800_000, 5_400_000, 5_400_000, 1_209_600_000, 0],
  );
  for (const bad of ["", "6", "6x", "h", "-6h", "6h x", "0.1ms"]) assert.equal(parseDurationMs(bad), undefined, bad);
  assert.deepEqual([21_600_000, 90_000, 50, 0].map(formatDuration), ["6h", "90s", "50ms", "0ms"]);
});

test("a tile that is not given divides the window and the day", () => {
  const app = parseApp(FLIGHTS.replaceAll(/\n {4}tile: .*/g, ""));
  for (const [name, feature] of Object.entries(app.features)) {
    if (feature.window === undefined) continue;
    const tile = tileLengthMs(feature);
    assert.equal(windowLengthMs(feature) % tile, 0, name);
    assert.equal(86_400_000 % tile, 0, name);
    assert.ok(windowLengthMs(feature) / tile >= 72, name);
  }
});

test("a pattern means the same on either engine, and never takes long", () => {
  const cases: readonly [string, string, boolean][] = [
    ["^[A-Z]{3}$", "JFK", true],
    ["[A-Z]{3}", "JFKX", false],
    ["a|b", "b", true],
    ["a|b", "ab", false],
    ["(?i)jfk", "JFK", true],
    ["[[:alpha:]]+", "abc", true],
    ["\\d{2}", "42", true],
    ["a.c", "a\rc", true],
    ["a.c", "a\nc", false],
  ];
  for (const [pattern, text, expected] of cases)
    assert.equal(compilePattern(pattern)(text), expected, `${pattern} ${text}`);
  const startedAt = performance.now();
  compilePattern("(a+)+b")("a".repeat(5_000));
  compilePattern("a*a*a*a*a*b")("a".repeat(5_000));
  assert.ok(performance.now() - startedAt < 2_000);
});

test("a change that would break what runs is refused, with what to do instead", () => {
  const old = parseApp(FLIGHTS);
  const changed = (change: (app: App) => void): string[] => {
    const next = clone(AppSchema, old);
    change(next);
    return checkCompatible(old, next).map(({ field, reason }) => `${field} ${reason}`);
  };
  const landed = (app: App) => app.events["flight.landed"] as NonNullable<(typeof app.events)[string]>;
  const delay = 'events["flight.landed"].fields.delay';
  assert.deepEqual(
    changed(() => undefined),
    [],
  );
  assert.deepEqual(
    changed((app) => void ((landed(app).fields["delay"] as { type: FieldType }).type = FieldType.INT64)),
    ['events["flight.landed"].version version_must_grow', `${delay} type_changed`],
  );
  assert.deepEqual(
    changed((app) => {
      landed(app).version = 2;
      landed(app).fields["gate"] = clone(AppSchema, app).events["flight.landed"]?.fields["flight_id"] as never;
    }),
    ['events["flight.landed"].fields.gate required_field_added'],
  );
  assert.deepEqual(
    changed((app) => {
      landed(app).version = 2;
      delete landed(app).fields["delay"];
    }),
    [`${delay} field_removed`],
  );
  assert.deepEqual(
    changed((app) => void delete app.events["flight.landed"]),
    ['events["flight.landed"] event_removed'],
  );
  assert.deepEqual(
    changed((app) => void (app.entities["route"] as { key: string[] }).key.reverse()),
    ["entities.route key_changed"],
  );
  assert.deepEqual(
    changed((app) => void delete app.features["hour"]),
    [],
  );
});

test("decisions by cost are checked: all of them, without thresholds, each the cheapest somewhere", () => {
  const withDecisions = (...decisions: string[]): string[] =>
    mistakes([/decisions:\n( {4}- .*\n)+/, `decisions:\n${decisions.map((each) => `    - ${each}\n`).join("")}`]);
  const call = "{ name: call, cost: { positive: 1, negative: 4 } }";
  const ignore = "{ name: ignore, cost: { positive: 9, negative: 0 } }";
  assert.deepEqual(withDecisions(call, ignore), []);
  assert.deepEqual(withDecisions(call, ignore, "{ name: worst, cost: { positive: 9, negative: 9 } }"), [
    "serving.decisions[2] never_chosen",
  ]);
  assert.deepEqual(withDecisions(call, ignore, "{ name: both, at_least: 0.5, cost: { positive: 0, negative: 0 } }"), [
    "serving.decisions[2].at_least two_kinds",
  ]);
});

test("a promotion policy and external trainers are read, and what cannot be is named", () => {
  const steps =
    "promotion: { shadow: { predictions: 500 }, canary: { outcomes: 200, share: 5% }, approval: PERSON, probation: { outcomes: 300, share: 20% } }";
  const external = "external: [{ name: python, deadline: 10m }]";
  const { model } = parseApp(FLIGHTS.replace("  seed: 1", `  seed: 1\n  ${steps}\n  ${external}\n  time_limit: 30m`));
  assert.equal(model?.promotion?.shadow?.predictions, 500);
  assert.equal(model.promotion.canary?.share, 0.05);
  assert.equal(model.promotion.approval, Approval.PERSON);
  assert.deepEqual([model.promotion.probation?.outcomes, model.promotion.probation?.share], [300, 0.2]);
  assert.equal(durationToMs(model.external[0]?.deadline), 600_000);
  assert.equal(durationToMs(model.timeLimit), 1_800_000);
  const wrong = (text: string) => mistakes(["  seed: 1", `  seed: 1\n  ${text}`]);
  assert.deepEqual(wrong("promotion: { shadow: { predictions: 5 } }"), [
    "model.promotion.shadow.predictions uint32.gte_lte",
  ]);
  assert.deepEqual(wrong("promotion: { canary: { outcomes: 200, share: 200% } }"), [
    "model.promotion.canary.share double.gt_lte",
  ]);
  assert.deepEqual(wrong("promotion: { probation: { outcomes: 99, share: 0% } }"), [
    "model.promotion.probation.outcomes uint32.gte_lte",
    "model.promotion.probation.share double.gt_lte",
  ]);
  assert.deepEqual(wrong("external: [{ name: python }, { name: python }]"), ["model.external[1].name repeated"]);
  for (const step of ["shadow: { predictions: 500 }", "probation: { outcomes: 500 }"]) {
    const classes = mistakes(
      ["task: BINARY", "task: REGRESSION"],
      ["  seed: 1", `  seed: 1\n  promotion: { ${step} }`],
    );
    assert.ok(
      classes.some((line) => /^model\.promotion\.\w+ does_not_fit$/.test(line)),
      classes.join(),
    );
  }
  assert.deepEqual(wrong("external: [{ name: my trainer }]"), ["model.external[0].name string.pattern"]);
});
