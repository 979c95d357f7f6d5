import assert from "node:assert/strict";
import { test } from "node:test";
import { parseApp } from "@millrace/app";
import {
  FindingKind,
  FindingKindSchema,
  FindingLevel,
  Verdict,
} from "@millrace/proto/millrace/feature/v1/dataset_report_pb.ts";
import type { DatasetManifest } from "@millrace/proto/millrace/feature/v1/dataset_service_pb.ts";
import { Dataset } from "./dataset.ts";
import { reportOn } from "./datasetReport.ts";
import { FLIGHTS_APP, START_MS } from "./flightsForTests.ts";
import { randomNumbers } from "./randomForTests.ts";

const HOUR_MS = 3_600_000;
const HOURS = 24 * 10;
const FLIGHTS = 4_000;

/** One flight of a synthetic history. What a test changes of it makes the data dishonest in one way. */
interface Flight {
  readonly id: string;
  readonly number: number;
  hour: number;
  /** More fields of the departure. */
  departure: Record<string, string | number>;
  delay: number;
  /** Hours from departure to the landing's being known; as many landings as there are. */
  landings: { after: number; delay: number }[];
}

type Change = (flight: Flight, random: () => number) => void;

/** The manifest of ten days of flights. */
function manifestOf(
  change: Change = () => undefined,
  [from, to]: [string, string] = ["", ""],
  toMs?: number,
): DatasetManifest {
  assert.ok(FLIGHTS_APP.includes(from), from);
  const dataset = new Dataset({
    app: parseApp(FLIGHTS_APP.replace(from, to)),
    fromMs: undefined,
    toMs,
    knownBeforeMs: undefined,
  });
  const random = randomNumbers(11);
  const events = Array.from({ length: FLIGHTS }, (_, number) => {
    const delay = random() < 0.3 ? 15 + random() * 60 : random() * 15;
    const landings = [{ after: 1 + random() * 3, delay }];
    const departure = { distance: Math.floor(random() * 2_000) };
    const flight: Flight = { id: `F${number}`, number, hour: (number / FLIGHTS) * HOURS, departure, delay, landings };
    change(flight, random);
    return eventsOf(flight, random);
  }).flat();
  for (const { type, atMs, fields } of events.sort((left, right) => left.atMs - right.atMs)) {
    dataset.add({ type, fields: valuesOf(fields), occurredAtMs: atMs, knownAtMs: atMs, logSequence: 0 });
  }
  dataset.finish();
  return dataset.manifest({ appVersion: 1, files: [], eventsRead: events.length });
}

type Fields = Record<string, string | number>;

function eventsOf(
  { id, hour, departure, landings }: Flight,
  random: () => number,
): { type: string; atMs: number; fields: Fields }[] {
  const route = { flight_id: id, origin: random() < 0.5 ? "ATL" : "ORD", destination: "SFO" };
  const atMs = START_MS + hour * HOUR_MS;
  return [
    { type: "flight.scheduled", atMs, fields: { ...route, ...departure } },
    ...landings.map(({ after, delay }) => ({
      type: "flight.landed",
      atMs: atMs + after * HOUR_MS,
      fields: { ...route, delay },
    })),
  ];
}

const valuesOf = (fields: Fields) =>
  Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [
      name,
      {
        $typeName: "millrace.event.v1.Value" as const,
        kind:
          typeof value === "string"
            ? ({ case: "stringValue", value } as const)
            : ({ case: "doubleValue", value } as const),
      },
    ]),
  );

const landingOf = (flight: Flight): Flight["landings"][number] => flight.landings[0] as Flight["landings"][number];

/** The kinds of findings that are more than notes. */
const found = (manifest: DatasetManifest): FindingKind[] =>
  reportOn(manifest)
    .findings.filter(({ level }) => level > FindingLevel.NOTE)
    .map(({ kind }) => kind);

/** The one finding that a change brings about, as far as that one goes. */
function findingOf(kind: FindingKind, manifest: DatasetManifest) {
  const { findings, verdict } = reportOn(manifest);
  const finding = findings.find((one) => one.kind === kind);
  assert.ok(
    finding,
    `${FindingKindSchema.value[kind]?.localName} was not found, but: ${findings.map(({ what }) => what).join(" ")}`,
  );
  assert.ok(finding.what.length > 20 && finding.advice.length > 20);
  return { ...finding, verdict };
}

const withField = (name: string): [string, string] => [
  "distance: {type: DOUBLE}",
  `distance: {type: DOUBLE}\n      ${name}: {type: DOUBLE}`,
];

/** The flights' app with one more feature, straight from the request. */
const APP_WITH_EXTRA: [string, string] = [
  FLIGHTS_APP,
  FLIGHTS_APP.replace(...withField("extra")).replace("\nlabel:", "\n  extra: {at_request: request.extra}\nlabel:"),
];

test("honest data is honest enough", () => {
  const report = reportOn(manifestOf());
  assert.deepEqual(
    report.findings.map(({ what }) => what),
    [],
  );
  assert.equal(report.verdict, Verdict.HONEST_ENOUGH);
});

test("a feature that is the outcome itself is a leak, and stops training", () => {
  const leaking = manifestOf((flight) => (flight.departure["extra"] = flight.delay), APP_WITH_EXTRA);
  const leak = findingOf(FindingKind.LEAK_SUSPECT, leaking);
  assert.deepEqual([leak.column, leak.level, leak.verdict], ["extra", FindingLevel.STOP, Verdict.DO_NOT_TRAIN]);
});

test("a feature that knows most of the outcome is suspected; one that is merely good is not", () => {
  const noisy =
    (noise: number): Change =>
    (flight, random) => {
      flight.departure = { distance: random(), extra: Number(flight.delay >= 15) + (random() - 0.5) * noise };
    };
  assert.equal(findingOf(FindingKind.LEAK_SUSPECT, manifestOf(noisy(1.6), APP_WITH_EXTRA)).level, FindingLevel.WARNING);
  assert.deepEqual(found(manifestOf(noisy(4), APP_WITH_EXTRA)), []);
});

test("a field that is filled in after some outcomes tells them by being there", () => {
  const filled: Change = (flight, random) => {
    if (flight.delay < 15 || random() < 0.2) flight.departure = { distance: random(), extra: random() };
  };
  const finding = findingOf(FindingKind.MISSING_TELLS_LABEL, manifestOf(filled, APP_WITH_EXTRA));
  assert.deepEqual([finding.column, finding.level], ["extra", FindingLevel.WARNING]);
});

test("a field that is filled in together with the label is suspected, whatever it says", () => {
  const filled: Change = (flight, random) => {
    if (flight.number % 20 === 0) flight.landings = [];
    else flight.departure = { distance: random(), extra: random() };
  };
  const finding = findingOf(FindingKind.KNOWN_ONLY_WITH_LABEL, manifestOf(filled, APP_WITH_EXTRA));
  assert.deepEqual([finding.column, finding.level], ["extra", FindingLevel.STOP]);
});

test("labels that are numbers are not judged as if they were true or false", () => {
  const numbers = FLIGHTS_APP.replace("value: event.delay >= 15.0, wait", "value: event.delay, wait").replace(
    "task: BINARY, candidates: [LOGISTIC], metric: LOG_LOSS",
    "task: REGRESSION, candidates: [LINEAR], metric: RMSE",
  );
  // All above 0.5, and the distance tells half of it.
  const report = reportOn(
    manifestOf(
      (flight) => {
        const landing = landingOf(flight);
        landing.delay += 10;
        flight.departure["distance"] = 50 + landing.delay * 10;
      },
      [FLIGHTS_APP, numbers],
    ),
  );
  assert.deepEqual(
    report.findings.map(({ what }) => what),
    [],
  );
});

test("too few labels stop training", () => {
  const few = manifestOf((flight) => {
    if (flight.number >= 150) flight.landings = [];
  });
  assert.equal(findingOf(FindingKind.TOO_FEW_ROWS, few).level, FindingLevel.STOP);
});

test("a holdout with hardly any positives judges by chance", () => {
  const rare = manifestOf((flight) => {
    if (flight.number > FLIGHTS * 0.78) landingOf(flight).delay = flight.number % 20 === 0 ? 20 : 0;
  });
  assert.equal(findingOf(FindingKind.TOO_FEW_ROWS, rare).level, FindingLevel.WARNING);
});

test("labels that are all the same stop training", () => {
  const one = manifestOf((flight) => (landingOf(flight).delay = 1));
  assert.equal(findingOf(FindingKind.ONE_CLASS, one).level, FindingLevel.STOP);
});

test("a class of less than one in a hundred is told", () => {
  const rare = manifestOf((flight) => (landingOf(flight).delay = flight.number % 150 === 0 ? 20 : 0));
  assert.match(findingOf(FindingKind.RARE_CLASS, rare).what, /0\.68 % of the labels \(27 rows\) are 1/);
});

test("rows that never get a label are told, rows whose label may still come are not", () => {
  const lost = manifestOf((flight) => {
    if (flight.number % 5 === 0) flight.landings = [];
  });
  assert.match(findingOf(FindingKind.FEW_LABELS, lost).what, /20\.0 % .* never got a label/);
  const young = manifestOf((flight) => (flight.landings = flight.hour > HOURS - 11 ? [] : flight.landings));
  assert.deepEqual(found(young), []);
  assert.ok((young.labels?.pendingRows ?? 0n) > 150n);
});

test("a time without labels is told with its beginning", () => {
  const gap = manifestOf((flight) => {
    if (flight.hour >= 96 && flight.hour < 102) flight.landings = [];
  });
  const finding = findingOf(FindingKind.LABEL_GAP, gap);
  assert.match(finding.what, /from 2001-01-05 00:00 to 2001-01-05 06:00 \(0\.0 % of 100 rows\); 9\d\.\d % is usual/);
  assert.deepEqual(found(gap), [FindingKind.LABEL_GAP]);
});

test("labels whose balance moves between training and holdout are told", () => {
  const moved = manifestOf((flight, random) => {
    if (flight.number > FLIGHTS * 0.8 && random() < 0.5) landingOf(flight).delay = 40;
  });
  assert.match(findingOf(FindingKind.LABEL_BALANCE_MOVES, moved).what, /PSI 0\.\d/);
});

test("labels that contradict each other are told, and stop training when they are many", () => {
  const conflicting = (every: number): DatasetManifest =>
    manifestOf((flight) => {
      if (flight.number % every === 0) flight.landings.push({ after: 5, delay: flight.delay >= 15 ? 0 : 30 });
    });
  assert.equal(findingOf(FindingKind.CONFLICTING_LABELS, conflicting(100)).level, FindingLevel.WARNING);
  assert.equal(findingOf(FindingKind.CONFLICTING_LABELS, conflicting(5)).level, FindingLevel.STOP);
});

test("labels that are sent twice under other ids are told, because features count them twice", () => {
  const twice = manifestOf((flight) => {
    if (flight.number % 10 === 0) flight.landings.push({ after: 5, delay: flight.delay });
  });
  assert.deepEqual(found(twice), [FindingKind.DUPLICATE_LABELS]);
});

test("labels without a row are told", () => {
  const manifest = manifestOf((flight) => {
    if (flight.number % 10 === 0) landingOf(flight).after = 13 + (flight.number % 3);
  });
  assert.ok(found(manifest).includes(FindingKind.UNMATCHED_LABELS));
});

test("rows of one key are told", () => {
  const twins = manifestOf((flight) => {
    if (flight.number % 100 === 1) (flight as { id: string }).id = `F${flight.number - 1}`;
  });
  assert.ok(found(twins).includes(FindingKind.REPEATED_ROWS));
});

test("a wait that cuts labels off is told, and one that is far too long", () => {
  const slow = manifestOf((flight, random) => (landingOf(flight).after = 6 + random() * 5.9));
  assert.deepEqual(found(slow), [FindingKind.WAIT_TOO_SHORT]);
  const fast = manifestOf(undefined, ["wait: 12h", "wait: 7d"]);
  assert.equal(findingOf(FindingKind.WAIT_TOO_LONG, fast).level, FindingLevel.NOTE);
});

test("a column that is the same everywhere, or mostly missing, is told", () => {
  const extra = (value: (flight: Flight, random: () => number) => number | undefined): DatasetManifest =>
    manifestOf((flight, random) => {
      const one = value(flight, random);
      if (one !== undefined) flight.departure["extra"] = one;
    }, APP_WITH_EXTRA);
  assert.equal(
    findingOf(
      FindingKind.CONSTANT_COLUMN,
      extra(() => 7),
    ).what,
    "extra is 7 in every row.",
  );
  assert.match(
    findingOf(
      FindingKind.MOSTLY_MISSING,
      extra(({ number }, random) => (number % 3 === 0 ? random() : undefined)),
    ).what,
    /66\.\d %/,
  );
  assert.match(
    findingOf(
      FindingKind.MOSTLY_MISSING,
      extra(() => undefined),
    ).what,
    /in every row/,
  );
});
