import assert from "node:assert/strict";
import { test } from "node:test";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { FindingLevel } from "@millrace/proto/millrace/feature/v1/dataset_report_pb.ts";
import { FINDINGS, FROM_MS, manifestForTests, reportForTests } from "./reportForTests.ts";
import { LEVEL_NAMES, reportText } from "./reportText.ts";

const lines = (...made: Parameters<typeof reportText>): string[] =>
  reportText(...made)
    .join("\n")
    .split("\n");

test("a report of an honest dataset is its verdict, its labels, its history, and its columns", () => {
  const verdictText = "Honest enough to train on.";
  assert.deepEqual(lines(manifestForTests(), reportForTests({ verdictText, findings: [] })), [
    "Dataset abcdef012345 of shop: is this data honest enough to train on?",
    "",
    "  Honest enough to train on.",
    "",
    "rows       2,000, 2001-01-01 00:00 to 2001-01-01 02:00; 11 with the key of another",
    "labelled   75.0 %; 15.0 % may still get one, 10.0 % never did",
    "positive   25.0 % of the labelled",
    "labels     1,510 events: 7 repeated, 3 contradicting, 5 without a row",
    "delay      half within 60 min, 95 % within 114 min, 99 % within 119 min; label.wait is 2.0 d",
    "holdout    from 2001-01-01 01:00; 10.0 % of 1,000 positive before, 55.0 % of 500 in it",
    "",
    "Over time, one bar for 60 min:",
    "  rows       ██  at most 1,000",
    "  labelled   █▅  of all rows",
    "  positive   ▁█  10.0 % to 55.0 %",
    "",
    "column  distribution      missing  median  1 %  99 %  AUC alone",
    "price   ▂▁▁▁▁▃▁▁▁▁▅▁▁▁▁█   25.0 %       5  0.1   9.9       0.61",
  ]);
});

test("every kind of finding is told with its level and its advice, in lines that fit a terminal", () => {
  const told = lines(manifestForTests(), reportForTests());
  for (const { level, what, advice } of FINDINGS) {
    const first = told.findIndex((line) => line.startsWith(`  ${LEVEL_NAMES[level]}  ${what.slice(0, 40)}`));
    assert.notEqual(first, -1, what);
    const finding = told.slice(first, told.indexOf("", first));
    assert.ok(
      finding.slice(1).every((line) => line.startsWith("        ")),
      "what belongs to a finding is indented",
    );
    const text = finding.map((line) => line.trim()).join(" ");
    assert.equal(text, `${LEVEL_NAMES[level]}  ${what} → ${advice}`);
    assert.ok(finding.every((line) => line.length <= 110));
  }
  assert.equal(new Set(FINDINGS.map(({ level }) => LEVEL_NAMES[level])).size, 3);
  assert.equal(LEVEL_NAMES[FindingLevel.STOP], "STOP");
});

test("the comparison with what was served is a column of its own, or the reason why there is none", () => {
  const compared = lines(
    manifestForTests(),
    reportForTests({
      live: {
        predictions: 1_234n,
        from: timestampFromMs(FROM_MS),
        to: timestampFromMs(FROM_MS + 86_400_000),
        columns: [{ name: "price", psi: 0.31 }],
      },
    }),
  );
  assert.match(compared.at(-4) ?? "", /AUC alone {2}PSI live$/);
  assert.match(compared.at(-3) ?? "", /0\.61 {5}0\.310$/);
  assert.equal(compared.at(-1), "PSI live compares with 1,234 predictions of 2001-01-01 00:00 to 2001-01-02 00:00.");
  const nothing = lines(manifestForTests(), reportForTests({ live: { nothingBecause: "no prediction was served" } }));
  assert.equal(nothing.at(-1), "Not compared with what was served: no prediction was served.");
  assert.doesNotMatch(nothing.join("\n"), /PSI live/);
});

test("a dataset without rows has a report, too", () => {
  const empty = manifestForTests({
    rows: 0n,
    labelledRows: 0n,
    firstRowAt: undefined as never,
    lastRowAt: undefined as never,
    columns: [{ name: "price", mean: Number.NaN, bins: {} }],
    labels: {},
  });
  const told = lines(empty, reportForTests()).join("\n");
  assert.match(told, /\nrows +0, - to -; 0 with the key of another\nlabelled +-; - may still get one, - never did\n/);
  assert.match(told, /\nprice +- +- +- +- +-$/);
});
