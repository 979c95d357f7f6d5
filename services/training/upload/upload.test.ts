import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { ModelState } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { MillraceError } from "@millrace/runtime";
import { waitFor } from "@millrace/test-harness";
import { APP, FEATURES, TestTraining } from "../serviceForTests.ts";
import { logistic, wideLogistic } from "./modelsForTests.ts";
import { messagesOf, sha256, upload } from "./uploadForTests.ts";

let training: TestTraining;
before(async () => {
  training = await TestTraining.start();
});
after(async () => {
  await training[Symbol.asyncDispose]();
});
beforeEach(() => {
  training.history = { rows: 6_000, direction: 1 };
});

/** In the order busy, hour: what the rows of the tests are made of is nearly this. */
const GOOD = logistic([4, 0], { input: "float_input", output: "p" });
const header = { app: APP };
const fails = (code: string, text: RegExp) => (error: unknown) =>
  error instanceof MillraceError && error.code === code && text.test(error.message);
const whats = async (jobId: string): Promise<string[]> =>
  (await training.events()).filter((event) => event.jobId === jobId).map(({ what }) => what);

// The tests build on each other: the registry's story from the first upload on.

test("the first upload that passes the gates is registered with where it comes from, and serves", async () => {
  const { model, knownBefore, stages } = await upload(training.registry, GOOD, {
    ...header,
    trainer: "scikit-learn 1.7, LogisticRegression",
    notes: "knows more",
  });
  assert.equal(knownBefore, false);
  assert.deepEqual(stages.slice(0, 2), ["receiving", "checking"]);
  assert.equal(model.state, ModelState.CHAMPION);
  assert.equal(model.algorithm, "uploaded");
  assert.deepEqual(model.featureNames, FEATURES);
  assert.equal(model.origin?.author, "Ada");
  assert.equal(model.origin.trainer, "scikit-learn 1.7, LogisticRegression");
  assert.equal(model.origin.sha256, sha256(GOOD));
  assert.ok(model.origin.uploadedAt !== undefined);
  assert.deepEqual(model.origin.adaptations, [
    'The input "float_input" is called "features".',
    'The output "p" is called "probability".',
  ]);
  assert.ok((model.metrics["auc"] ?? 0) > 0.65, JSON.stringify(model.metrics));
  assert.equal(model.reference?.features.length, 2);
  assert.match(model.verdict.join("\n"), /Ada uploaded it, made by scikit-learn.*\n/);
  assert.equal(model.quantization, undefined);
  // The job has ended once it is committed; that is told a moment later.
  await waitFor(async () => (await whats(model.jobId)).length === 2);
  assert.deepEqual((await training.deployment())?.champion, model);
  assert.deepEqual(await whats(model.jobId), ["candidate", "promoted"]);
  const [change] = await training.database.query<{ who: string }>({
    text: "SELECT who FROM changes ORDER BY id DESC LIMIT 1",
  });
  assert.equal(change?.who, "Ada");
});

test("the same file with the same options is registered once, and the answer says so", async () => {
  const requests = training.requests.length;
  const { model, knownBefore } = await upload(training.registry, GOOD, header);
  assert.equal(knownBefore, true);
  assert.equal(model.number, 1);
  assert.equal(training.requests.length, requests, "nothing was judged again");
  const both = await Promise.all([1, 2].map(() => upload(training.registry, logistic([3.9, 0]), header)));
  assert.deepEqual(
    new Set(both.map((each) => each.model.number)),
    new Set([2]),
    "also when they come at the same time",
  );
});

test("a worse model is judged on the same rows as the champion, rejected, and the champion stays", async () => {
  const { model } = await upload(training.registry, logistic([-4, 0]), { ...header, author: "Bob" });
  assert.equal(model.state, ModelState.REJECTED);
  assert.match(model.verdict.join("\n"), /against champion 1's .* on the same 1\d\d\d rows: worse by/);
  assert.equal(model.championMetrics["rows"], model.metrics["rows"]);
  assert.equal((await training.deployment())?.champion?.number, 1);
  assert.deepEqual(await whats(model.jobId), ["candidate", "rejected"]);
});

test("a trained challenger and an upload compete: the better one serves, whoever made it", async () => {
  training.history = { rows: 6_000, direction: -1 };
  await training.runJob("trained");
  assert.equal((await training.deployment())?.champion?.algorithm, "logistic");
  training.history = { rows: 6_000, direction: 1 };
  const { model } = await upload(training.registry, logistic([0, 4.1]), { ...header, columns: ["hour", "busy"] });
  assert.equal(model.state, ModelState.CHAMPION, model.verdict.join("\n"));
  assert.deepEqual(model.featureNames, ["hour", "busy"]);
});

test("a large dense model is served in int8 when it does as well and is faster, and the comparison is kept", async () => {
  training.history = { rows: 6_000, direction: -1 };
  const file = wideLogistic([-4, 0]);
  const { model } = await upload(training.registry, file, { ...header, quantize: { maxLoss: 0.05 } });
  const comparison = model.quantization;
  assert.ok(comparison !== undefined);
  assert.equal(comparison.accepted, true, comparison.verdict.join("\n"));
  assert.equal(model.state, ModelState.CHAMPION, model.verdict.join("\n"));
  assert.equal(comparison.comparedOn, "labelled holdout");
  assert.equal(comparison.metric, "log_loss");
  assert.ok(comparison.maxDifference > 0 && comparison.maxDifference < 0.1, `${comparison.maxDifference}`);
  assert.deepEqual(
    comparison.timings.map(({ batchRows }) => batchRows),
    [1, 8, 64],
  );
  assert.equal(comparison.quantizedLayers.length, 2);
  assert.ok(comparison.quantizedBytes < comparison.originalBytes / 3n);
  assert.equal(model.artefact, comparison.quantizedArtefact);
  assert.equal(model.metrics["log_loss"], comparison.quantizedMetric);
  assert.match(model.verdict.join(" "), /It serves in int8\. In int8 the log loss .* times as fast/);
  const stored = await training.registry.getModel({ app: APP, number: model.number });
  assert.deepEqual(stored.model, model);
});

test("the original serves where int8 loses more than is allowed, and the comparison says why", async () => {
  training.history = { rows: 6_000, direction: 1 };
  const file = wideLogistic([4.2, 0], { unusedWeight: 1e4 });
  const { model } = await upload(training.registry, file, { ...header, quantize: {} });
  assert.equal(model.quantization?.accepted, false);
  assert.match(model.quantization.verdict.join("\n"), /worse by 0\.\d+, allowed are 0\.002/);
  assert.equal(model.artefact, model.quantization.originalArtefact);
  assert.equal(model.quantization.quantizedArtefact, "");
  assert.match(model.verdict.join("\n"), /It serves in float32\./);
});

test("a model without large dense layers serves as it is when int8 is asked for", async () => {
  const { model } = await upload(training.registry, logistic([4.3, 0]), { ...header, quantize: {} });
  assert.equal(model.quantization?.accepted, false);
  assert.deepEqual(model.quantization.verdict, ["No layer could be quantized."]);
  assert.match(model.quantization.skippedLayers.join(), /too small: 2 × 1 weights/);
});

test("where the app has no labels yet, an upload is registered for a person to promote, and int8 is compared on other rows", async () => {
  training.history = { rows: 0, direction: 1 };
  const file = wideLogistic([4.4, 0]);
  const { model } = await upload(training.registry, file, { ...header, quantize: { maxDifference: 0.2 } });
  assert.equal(model.state, ModelState.CANDIDATE);
  assert.match(
    model.verdict.join("\n"),
    /could not be judged and does not serve until somebody promotes it\. .*no history yet/,
  );
  assert.equal(model.quantization?.comparedOn, "random rows");
  assert.equal(model.quantization.rows, 1_000n);
  assert.equal(model.quantization.accepted, true, model.quantization.verdict.join("\n"));
  assert.deepEqual(await whats(model.jobId), ["candidate"]);
  training.history = { rows: 200, direction: 1 };
  const few = await upload(training.registry, wideLogistic([4.5, 0]), {
    ...header,
    quantize: { maxDifference: 0 },
  });
  assert.equal(few.model.quantization?.comparedOn, "rows of the dataset");
  assert.match(few.model.quantization.verdict.join("\n"), /probabilities differ by at most .*; allowed are 0\./);
  const { deployment } = await training.registry.promoteModel({ app: APP, number: model.number, reason: "the first" });
  assert.equal(deployment?.champion?.number, model.number);
});

test("a judging that fails is said, and the same upload can be tried again", async () => {
  training.history = { rows: 6_000, direction: 1, corrupt: true };
  const file = logistic([4.6, 0]);
  await assert.rejects(
    upload(training.registry, file, header),
    fails("failed_precondition", /was not registered: .*is not a Parquet file/),
  );
  training.history = { rows: 6_000, direction: 1 };
  const { model, knownBefore } = await upload(training.registry, file, header);
  assert.equal(knownBefore, false);
  assert.ok(model.number > 1);
});

test("a caller that leaves after its file was taken does not stop the judging, and finds it when it comes again", async () => {
  const held = Promise.withResolvers<void>();
  training.hold = held.promise;
  const file = logistic([4.7, 0]);
  const caller = new AbortController();
  const leaving = async (): Promise<void> => {
    const answers = training.registry.uploadModel(messagesOf(file, header), { signal: caller.signal });
    for await (const { step } of answers)
      if (step.case === "progress" && step.value.stage === "judging") caller.abort();
  };
  await assert.rejects(leaving(), { code: "cancelled" });
  const again = upload(training.registry, file, header);
  held.resolve();
  const { model, knownBefore } = await again;
  assert.equal(knownBefore, true);
  assert.equal(model.origin?.sha256, sha256(file));
});

test("a third upload at the same time is refused at once with a hint when to try again, and taken later", async () => {
  const held = Promise.withResolvers<void>();
  const file = logistic([4.8, 0]);
  async function* slowly() {
    const messages = messagesOf(file, header);
    yield (await messages.next()).value as never;
    await held.promise;
    yield* messages;
  }
  const slow = [1, 2].map(async () => {
    for await (const { step } of training.registry.uploadModel(slowly())) if (step.case === "result") return;
  });
  // With a hash that is wrong: taken, it would be refused for that.
  const third = () => upload(training.registry, file, { ...header, sha256: "0".repeat(64) });
  await waitFor(() => third().then(() => false, fails("resource_exhausted", /2 models are being uploaded; try again/)));
  held.resolve();
  await Promise.all(slow);
  await assert.rejects(third(), fails("invalid_argument", /has the SHA-256/));
});

for (const { what, change, text } of [
  { what: "for an app that nobody applied", change: { app: "nobody" }, text: /no app "nobody"/ },
  { what: "by nobody", change: { author: "" }, text: /author is empty/ },
  { what: "with a hash that is none", change: { sha256: "abc" }, text: /sha256 is "abc"; expected .* 64 hex digits/ },
  { what: "that was altered on its way", change: { sha256: "0".repeat(64) }, text: /has the SHA-256 .*, not 0000/ },
  { what: "that is longer than its header says", change: { bytes: 10n }, text: /more bytes came than the 10/ },
  { what: "that is cut off", change: { bytes: 100_000n }, text: /of 100000 bytes came/ },
  {
    what: "above the limit",
    change: { bytes: 8n << 20n },
    text: /at most 4194304 are taken \(TRAINING_MAX_UPLOAD_BYTES\)/,
  },
  {
    what: "with columns that the app does not have",
    change: { columns: ["busy", "hours"] },
    text: /no feature hours; it has busy, hour/,
  },
  { what: "with a column too few", change: { columns: ["busy"] }, text: /takes 2 columns, and 1 features are named/ },
  { what: "with a bound that is none", change: { quantize: { maxLoss: -1 } }, text: /quantize\.maxLoss is -1/ },
]) {
  test(`an upload ${what} is refused with the field, the rule and the value`, async () => {
    const code = what.includes("nobody applied") ? "not_found" : "invalid_argument";
    await assert.rejects(upload(training.registry, logistic([5, 0]), { ...header, ...change }), fails(code, text));
  });
}
