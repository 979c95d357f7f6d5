import assert from "node:assert/strict";
import { test } from "node:test";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { candidateRows } from "./candidates.ts";
import { checkMemory, trainingBytes } from "./memoryLimit.ts";
import { rollingFolds } from "./rolling.ts";
import { rowsOf } from "./rowsForTests.ts";
import { type Split, splitByTime } from "./split.ts";
import { BINARY } from "./task.ts";

const HOUR_MS = 3_600_000;
const ROWS = 4_000;
const AS_OF_MS = ROWS * 60_000;

test("each fold knows only rows whose labels were known when it begins to judge, and judges what came next", async () => {
  const { labels } = rowsOf(BINARY, ROWS);
  const occurredAtMs = Float64Array.from({ length: ROWS }, (_, row) => row * 60_000);
  // Labels take two hours.
  const known = labels.map((label, row) => (AS_OF_MS - row * 60_000 > 2 * HOUR_MS ? label : Number.NaN));
  const options = { asOfMs: AS_OF_MS, waitMs: 6 * HOUR_MS, holdout: 0.2, maxRows: 1e6 };
  const first = splitByTime(occurredAtMs, known, options);
  const splits: Split[] = [first];
  const folds = await rollingFolds({ occurredAtMs, labels: known }, options, first, 3, (split) => {
    splits.push(split);
    const matrix = { featureNames: [], columns: [], labels };
    const pick = (part: Uint32Array) => ({
      ...matrix,
      labels: Float64Array.from(part, (row) => labels[row] as number),
    });
    const rows = { train: pick(split.train), validation: matrix, calibration: matrix, holdout: pick(split.holdout) };
    return Promise.resolve({ rows, metrics: { fold: splits.length } });
  });
  assert.deepEqual(
    folds.map(({ metrics }) => metrics["fold"]),
    [4, 3, 2],
    "oldest first",
  );
  for (let fold = 1; fold < splits.length; fold += 1) {
    const [own, next] = [splits[fold] as Split, splits[fold - 1] as Split];
    const beginsToJudge = next.holdout[0] as number;
    const newest = Math.max(own.train.at(-1) as number, own.holdout.at(-1) as number);
    assert.ok(newest <= beginsToJudge - 119, `fold ${fold}: row ${newest} has its label after row ${beginsToJudge}`);
  }
  const [oldest] = folds;
  assert.ok(oldest?.from !== undefined && oldest.to !== undefined && timestampMs(oldest.from) < timestampMs(oldest.to));
});

test("where history is too short, there are fewer folds", async () => {
  const { labels } = rowsOf(BINARY, 600);
  const occurredAtMs = Float64Array.from({ length: 600 }, (_, row) => row * 60_000);
  const options = { asOfMs: 600 * 60_000, waitMs: HOUR_MS, holdout: 0.3, maxRows: 1e6 };
  const first = splitByTime(occurredAtMs, labels, options);
  const empty = candidateRows({ rows: { featureNames: [], columns: [], labels, occurredAtMs } } as never, first, {
    categorical: [],
  } as never);
  const folds = await rollingFolds({ occurredAtMs, labels }, options, first, 10, () =>
    Promise.resolve({ rows: empty, metrics: {} }),
  );
  assert.ok(folds.length > 0 && folds.length < 10, `${folds.length}`);
});

test("a dataset that needs too much memory is refused with its numbers and what to do", () => {
  assert.ok(trainingBytes(1_000_000, 20) < 500e6);
  checkMemory(1_000_000, 20, 1e9);
  assert.throws(() => checkMemory(10_000_000, 100, 1e9), {
    code: "resource_exhausted",
    message:
      /10,000,000 rows with 100 features needs about [\d,]+ MiB; 954 MiB are allowed: .*TRAINING_MAX_MEMORY_BYTES/,
  });
});
