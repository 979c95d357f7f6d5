import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { test } from "node:test";
import { waitFor } from "@millrace/test-harness";
import { APP, TestTraining } from "../serviceForTests.ts";

const FOLDER = join(import.meta.dirname, "../../../deploy/trainers/python");
const PYTHON = process.env["PYTHON"] || "python3";
const hasPackages = spawnSync(PYTHON, ["-c", "import nats, pyarrow, sklearn, skl2onnx"]).status === 0;
const skip = hasPackages
  ? false
  : `${PYTHON} has not what deploy/trainers/python/requirements.txt names; PYTHON names another interpreter`;

test("the Python trainer takes a job, trains scikit-learn on the dataset, and its ONNX model is judged by the gates", {
  skip,
}, async () => {
  await using training = await TestTraining.start();
  training.history = { rows: 6_000, direction: 1 };
  await training.applyApp({ external: [{ name: "python" }] });
  const trainer = spawn(PYTHON, ["trainer.py"], {
    cwd: FOLDER,
    env: { ...process.env, ...training.natsEnvironment("trainer"), PYTHONDONTWRITEBYTECODE: "1" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const said: string[] = [];
  trainer.stdout.on("data", (text: Buffer) => said.push(text.toString()));
  const exited = once(trainer, "exit");
  try {
    await training.publishJob("python-job");
    await waitFor(async () => (await training.bus.manager.streams.info("TRAINING")).state.messages === 0, {
      deadlineMs: 60_000,
    });
    const [model] = (await training.registry.listModels({ app: APP })).models;
    assert.match(model?.verdict.join("\n") ?? "", /Of 3 candidates, .*external:python 0\.\d+/, said.join(""));
    // The job is acknowledged: nobody else takes it.
    await waitFor(async () => (await training.bus.manager.streams.info("TRAINERS")).state.messages === 0);
    assert.match(said.join(""), /python-job\/python: scikit-learn .*GradientBoostingClassifier/);
  } finally {
    trainer.kill();
    await exited;
  }
});
