import assert from "node:assert/strict";
import { test } from "node:test";
import { MULTICLASS, partsOf, rowsOf } from "./rowsForTests.ts";
import { type SearchBudget, type SearchRequest, searchParameters } from "./search.ts";
import { BINARY, REGRESSION, type Task } from "./task.ts";

function requestOf(task: Task, algorithm: SearchRequest["algorithm"], rows = 9_000): SearchRequest {
  const { train, validation } = partsOf(rowsOf(task, rows));
  return { algorithm, task, train, validation, seed: 5 };
}

const search = (request: SearchRequest, budget: Partial<SearchBudget>) =>
  searchParameters(request, { trials: 0, untilMs: Infinity, ...budget });

test("of nine linear models, three are tried on more rows and one on all, with the built-in one beside them", async () => {
  const { trials, parameters } = await search(requestOf(BINARY, "logistic"), { trials: 9 });
  const rounds = [1, 2, 3].map((round) => trials.filter((trial) => trial.round === round));
  assert.equal(rounds[0]?.length, 9);
  assert.ok(rounds.every((round) => round.some(({ trial }) => trial === 1)));
  assert.ok((rounds[1]?.length ?? 0) <= 4 && (rounds[2]?.length ?? 0) <= 3);
  assert.deepEqual(
    rounds.map((round) => Math.round(1 / (round[0]?.rowShare ?? 0))),
    [9, 3, 1],
  );
  const last = rounds[2] ?? [];
  const best = last.reduce((one, other) => (other.loss < one.loss ? other : one));
  assert.equal(parameters, best.parameters);
  assert.ok(last.find(({ trial }) => trial === 1)?.loss ?? 0 >= best.loss);
  // Those that were left out were the worse ones.
  const kept = new Set(rounds[1]?.map(({ trial }) => trial));
  const worstKept = Math.max(
    ...(rounds[0] ?? []).filter(({ trial }) => kept.has(trial) && trial !== 1).map(({ loss }) => loss),
  );
  assert.ok((rounds[0] ?? []).every(({ trial, loss }) => kept.has(trial) || loss >= worstKept));
});

test("trees with better parameters are found, always the same for a seed, and for numbers and classes too", async () => {
  const request = requestOf(REGRESSION, "gbdt", 900);
  const [first, again] = [await search(request, { trials: 3 }), await search(request, { trials: 3 })];
  assert.deepEqual(first.parameters, again.parameters);
  assert.deepEqual(
    first.trials.map(({ loss }) => loss),
    again.trials.map(({ loss }) => loss),
  );
  assert.notDeepEqual(
    (await search({ ...request, seed: 6 }, { trials: 3 })).trials[1]?.parameters,
    first.trials[1]?.parameters,
  );
  const classes = await search(requestOf(MULTICLASS, "logistic", 1_000), { trials: 2 });
  assert.ok(classes.trials.every(({ loss }) => loss > 0 && loss < 1.2));
});

test("when the time is over nothing more is begun, and what was tried by then decides", async () => {
  let time = 0;
  const now = (): number => (time += 10);
  const { trials } = await search(requestOf(BINARY, "logistic"), { untilMs: 300, now });
  assert.ok(trials.length > 0 && trials.length < 12, `${trials.length}`);
  const none = await search(requestOf(BINARY, "logistic"), { trials: 4, untilMs: -1 });
  assert.deepEqual(none, { parameters: {}, trials: [] });
  assert.deepEqual(await search(requestOf(BINARY, "baseline"), { trials: 4 }), { parameters: {}, trials: [] });
});

test("a search that is cancelled ends", async () => {
  const signal = AbortSignal.abort(new Error("enough"));
  await assert.rejects(search({ ...requestOf(BINARY, "gbdt", 2_000), signal }, { trials: 2 }), /enough/);
});
