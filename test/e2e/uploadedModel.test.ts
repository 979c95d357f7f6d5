import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { fromJsonString } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { connectBus } from "@millrace/bus";
import { DATA_FROM_MS, readFlights } from "@millrace/flight-delays";
import { type Platform, ROOT } from "@millrace/local";
import { GraphBuilder } from "@millrace/onnx";
import { EventLogService } from "@millrace/proto/millrace/ingestion/v1/event_log_pb.ts";
import { PredictionService } from "@millrace/proto/millrace/prediction/v1/prediction_service_pb.ts";
import { ModelState, type ModelVersion, ModelVersionSchema } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { connectRpc } from "@millrace/rpc";
import { silentLogger } from "@millrace/runtime";
import { startTestPlatform, TemporaryFolder, waitFor } from "@millrace/test-harness";
import { DatasetClient } from "../../services/training/dataset.ts";
import { LINEAR_DEFAULTS, type LinearModel } from "../../services/training/linear/linearModel.ts";
import { trainLogistic } from "../../services/training/linear/logistic.ts";
import { selectRows } from "../../services/training/matrix.ts";
import { splitByTime } from "../../services/training/split.ts";
import { publishFlights } from "../bench/ingest/publishFlights.ts";
import { APP, flight } from "./flightEvents.ts";
import { millrace } from "./millraceCommand.ts";

const HOUR_MS = 3_600_000;
const TO_MS = DATA_FROM_MS + 30 * HOUR_MS;
const WIDTH = 512;

/** A logistic regression as another team's framework might export it: its own names, its probability through `layers` wide layers. */
function exported(
  { means, deviations, weights: [weights], intercepts }: LinearModel,
  { exponent = 1, layers = 0 },
): Uint8Array {
  const width = means.length;
  const graph = new GraphBuilder("elsewhere");
  const x = graph.input("float_input", ["rows", width]);
  const centre = graph.constant(means, [width]);
  const centred = graph.node("Sub", [graph.node("Where", [graph.node("IsNaN", [x]), centre, x]), centre]);
  const scaled = graph.node("Div", [centred, graph.constant(deviations, [width])]);
  const product = graph.node("MatMul", [scaled, graph.constant(weights as Float64Array, [width, 1])]);
  const probability = graph.node("Sigmoid", [graph.node("Add", [product, graph.constant(intercepts, [1])])]);
  let units = graph.node("Pow", [probability, graph.constant([exponent], [1])]);
  if (layers > 0) units = graph.node("MatMul", [units, graph.constant(new Float32Array(WIDTH).fill(1), [1, WIDTH])]);
  const mixing = new Float32Array(WIDTH * WIDTH).fill(1 / WIDTH);
  for (let layer = 0; layer < layers; layer += 1) {
    units = graph.node("MatMul", [units, graph.constant(mixing, [WIDTH, WIDTH])]);
  }
  graph.node("ReduceMean", [units], { axes: { ints: [1] }, keepdims: 0n }, { output: "y" });
  graph.output("y", ["rows"]);
  return graph.toBytes();
}

/** Trained on a day of flights, on what the app's own models would be trained on. */
async function train(platform: Platform): Promise<{ model: LinearModel; columns: readonly string[] }> {
  await using bus = await connectBus(platform.nats("admin"), "upload test", silentLogger);
  using datasets = new DatasetClient(bus, platform.grpc("feature"));
  const { rows, asOfMs } = await datasets.build({ app: APP, signal: new AbortController().signal });
  const split = splitByTime(rows.occurredAtMs, rows.labels, {
    asOfMs,
    waitMs: 24 * HOUR_MS,
    holdout: 0.2,
    maxRows: 400_000,
  });
  return { model: trainLogistic(selectRows(rows, split.train), LINEAR_DEFAULTS), columns: rows.featureNames };
}

test("a model from elsewhere is judged on the champion's rows, takes its place when it is better, and answers, in int8", async () => {
  await using folder = new TemporaryFolder();
  await using system = await startTestPlatform({ services: ["ingestion", "feature", "training", "inference-gateway"] });
  const { platform } = system;
  // A day of flights has enough rows to judge by in a fifth; and a model that is a little worse is to be rejected, however new.
  const file = await readFile(join(ROOT, "deploy/apps/flight-delays/app.yaml"), "utf8");
  const gated = file.replace(/holdout: \d+%/, "holdout: 20%").replace("prefer_newer: true", "prefer_newer: false");
  await writeFile(folder.join("app.yaml"), gated);
  const apply = await millrace(platform, "apply", folder.join("app.yaml"));
  assert.equal(apply.status, 0, apply.stderr);
  await using bus = await connectBus(platform.nats("admin"), "upload test", silentLogger);
  const published = await publishFlights(bus, await readFlights(DATA_FROM_MS, TO_MS), Infinity);
  using eventLog = connectRpc(EventLogService, platform.grpc("ingestion"));
  const stored = async (): Promise<number> =>
    Object.values((await eventLog.countEvents({ app: APP })).accepted).reduce((sum, count) => sum + Number(count), 0);
  // All models are to be judged on the same rows.
  await waitFor(async () => (await stored()) === published, { deadlineMs: 120_000, what: "all events in the log" });
  const { model, columns } = await train(platform);

  const uploaded = async (name: string, file: Uint8Array, ...words: string[]): Promise<ModelVersion> => {
    await writeFile(folder.join(name), file);
    const said = await millrace(platform, "models", "upload", folder.join(name), "--app", APP, "--json", ...words);
    assert.notEqual(said.stdout, "", said.stderr);
    const version = fromJsonString(ModelVersionSchema, said.stdout);
    assert.equal(said.status, version.state === ModelState.REJECTED ? 1 : 0, said.stderr);
    return version;
  };
  const named = ["--columns", columns.join(",")];
  // Says a little too much of everything: ranks as well, and has a worse log loss.
  const first = await uploaded("first.onnx", exported(model, { exponent: 0.85 }), ...named);
  assert.equal(first.state, ModelState.CHAMPION, first.verdict.join("\n"));
  const second = await uploaded("second.onnx", exported(model, { layers: 2 }), ...named, "--quantize", "int8");
  assert.equal(second.state, ModelState.CHAMPION, second.verdict.join("\n"));
  assert.equal(second.quantization?.accepted, true, second.verdict.join("\n"));
  assert.deepEqual(second.championMetrics, first.metrics, "the champion was judged on the same rows");
  const third = await uploaded("third.onnx", exported(model, { exponent: 0.9 }), ...named);
  assert.equal(third.state, ModelState.REJECTED);

  using predictions = connectRpc(PredictionService, platform.grpc("inference-gateway"));
  const predict = () =>
    predictions.predict({ app: APP, occurredAt: timestampFromMs(TO_MS), fields: flight("f1") }, { timeoutMs: 5_000 });
  await waitFor(async () => (await predict()).prediction?.modelVersion === `${APP}/2`, {
    deadlineMs: 30_000,
    what: "the uploaded model to serve",
  });
  const { prediction } = await predict();
  assert.ok(prediction !== undefined && prediction.probability > 0.02 && prediction.probability < 0.9);

  const list = await millrace(platform, "models", "list", "--app", APP);
  assert.match(
    list.stdout,
    /flight-delays\/3 +rejected .*\nflight-delays\/2 +champion .* int8\nflight-delays\/1 +retired /,
  );
  const show = await millrace(platform, "models", "show", `${APP}/2`);
  assert.match(show.stdout, /In int8: serves\n.*In int8 the log loss on the same .* rows is/);
  assert.match(show.stdout, /The output "y" \[rows\] becomes "probability" \[rows, 1\]/);
  const card = await millrace(platform, "models", "card", `${APP}/2`);
  assert.match(
    card.stdout,
    /# flight-delays\/2\n[^]*## How good\n[^]*champion 1 [^]*## Where it is bad\n[^]*\| origin [A-Z]{3} \|/,
  );
  const unfit = await millrace(
    platform,
    "models",
    "upload",
    folder.join("first.onnx"),
    "--app",
    APP,
    "--columns",
    "hour",
  );
  assert.equal(unfit.status, 1);
  assert.match(unfit.stderr, /millrace: columns: the model takes \d+ columns, and 1 features are named/);
});
