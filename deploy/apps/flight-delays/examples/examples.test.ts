import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { applyApp } from "@millrace/app";
import { connectBus } from "@millrace/bus";
import { silentLogger } from "@millrace/runtime";
import { startTestPlatform, type TestPlatform, waitFor } from "@millrace/test-harness";

const FOLDER = import.meta.dirname;
const PYTHON = process.env["PYTHON"] || "python3";
const pythonPackages = spawnSync(PYTHON, ["-c", "import grpc, grpc_tools, nats"]).status === 0;
const withoutPackages = pythonPackages
  ? false
  : `${PYTHON} has not what requirements.txt names; PYTHON names another interpreter`;

const execute = promisify(execFile);
let system: TestPlatform;

before(async () => {
  system = await startTestPlatform({ services: ["ingestion", "feature", "inference-gateway"] });
  await using bus = await connectBus(system.platform.endpoints.nats.admin, "test", silentLogger);
  await applyApp(bus, await readFile(join(FOLDER, "..", "app.yaml"), "utf8"));
  // The app reaches the gateway a moment later: until then it is unknown there.
  await waitFor(() => run(process.execPath, "predict.ts", "first"), {
    what: "the gateway to know the app",
  });
});

after(async () => {
  await system?.[Symbol.asyncDispose]();
});

async function run(program: string, ...programArguments: string[]): Promise<string> {
  const environment = { ...process.env, MILLRACE_HOME: dirname(system.platform.home.endpointsFile) };
  return (await execute(program, programArguments, { cwd: FOLDER, env: environment, timeout: 30_000 })).stdout;
}

test("predict.ts gets a stored answer that says how it was made", async () => {
  const answer = await run(process.execPath, "predict.ts", "UA-1");
  assert.match(answer, /probability: 0\.2,/);
  assert.match(answer, /madeBy: 'MADE_BY_CONSTANT'/);
  assert.match(answer, /recorded: true/);
});

test("publish.ts puts an event on the bus, once for the same id", async () => {
  assert.match(await run(process.execPath, "publish.ts", "UA-1"), /stream: 'EVENTS'.*duplicate: false/s);
  assert.match(await run(process.execPath, "publish.ts", "UA-1"), /stream: 'EVENTS'.*duplicate: true/s);
});

test("predict.py and publish.py do the same", { skip: withoutPackages }, async () => {
  await execute("./generate.sh", [], { cwd: FOLDER, env: { ...process.env, PYTHON } });
  assert.match(await run(PYTHON, "predict.py", "UA-2"), /probability 0\.200,.* MADE_BY_CONSTANT .*recorded True/);
  assert.match(await run(PYTHON, "publish.py", "UA-2"), /^UA-2-scheduled: stream EVENTS, .*duplicate False/);
  assert.match(await run(PYTHON, "publish.py", "UA-2"), /duplicate True/);
});
