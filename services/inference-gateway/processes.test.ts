import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { availableParallelism } from "node:os";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { PredictionService } from "@millrace/proto/millrace/prediction/v1/prediction_service_pb.ts";
import { connectRpc, type RpcClient } from "@millrace/rpc";
import { readConfig } from "@millrace/runtime";
import { waitFor } from "@millrace/test-harness";
import { readGatewayConfig } from "./config.ts";
import { APP, flightRow, TestGateway } from "./gatewayForTests.ts";
import { resourceAttributes } from "./processes.ts";

interface LogLine {
  readonly pid: number;
  readonly level: string;
  readonly msg: string;
  readonly address?: string;
  readonly health?: string;
}

const START_LIMIT_MS = 60_000;

/** The service as it is started, in processes of its own; what they log tells who they are. */
class RunningGateway implements AsyncDisposable {
  readonly log: LogLine[] = [];
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown>;

  constructor({ nats }: TestGateway, environment: Record<string, string> = {}) {
    const { url, user, password } = nats.as("inference-gateway");
    const main = new URL("./main.ts", import.meta.url).pathname;
    const options = ["--disable-warning=ExperimentalWarning", "--import", "@millrace/runtime/telemetry"];
    this.#child = spawn(process.execPath, [...options, main], {
      cwd: import.meta.dirname,
      stdio: ["pipe", "pipe", "inherit"],
      env: {
        ...process.env,
        NATS_URL: url,
        NATS_USER: user,
        NATS_PASSWORD: password,
        MILLRACE_GRPC_ADDRESS: "127.0.0.1:0",
        MILLRACE_HTTP_PORT: "0",
        MILLRACE_PARENT: "stdin",
        GATEWAY_PROCESSES: "2",
        INFERENCE_WORKERS: "1",
        LOG_LEVEL: "info",
        ...environment,
      },
    });
    this.#exited = once(this.#child, "exit");
    createInterface(this.#child.stdout ?? assert.fail()).on("line", (line) => this.log.push(JSON.parse(line)));
  }

  get pid(): number {
    return this.#child.pid ?? assert.fail();
  }

  /** The processes that said something, in the order of their first words. */
  pids(said: string): number[] {
    const pids = this.log.filter(({ pid, msg }) => pid !== this.pid && msg.startsWith(said)).map(({ pid }) => pid);
    return [...new Set(pids)];
  }

  async untilReady(): Promise<{ readonly address: string; readonly health: string }> {
    const line = await waitFor(() => this.log.find(({ pid, msg }) => pid === this.pid && msg === "ready"), {
      deadlineMs: START_LIMIT_MS,
    });
    const address = this.log.find(({ pid, msg }) => pid === this.pid && msg.includes("processes listen"))?.address;
    return { address: address ?? assert.fail(), health: line.health ?? assert.fail() };
  }

  async stop(signal: NodeJS.Signals): Promise<number | null> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill(signal);
    await this.#exited;
    return this.#child.exitCode;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop("SIGTERM");
  }
}

const connect = (address: string) => connectRpc(PredictionService, address, { ownConnection: true });
const ask = (client: RpcClient<typeof PredictionService>) =>
  client.predict({ app: APP, ...flightRow() }, { timeoutMs: 30_000 });

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** While a process is held up: the only one of two clients that is answered. */
async function answeredWithout(pid: number, clients: readonly RpcClient<typeof PredictionService>[]): Promise<number> {
  process.kill(pid, "SIGSTOP");
  let answers = 0;
  const calls = clients.map(async (client, index) => {
    await ask(client);
    answers += 1;
    return index;
  });
  try {
    const answered = await Promise.race(calls);
    await ask(clients[answered] ?? assert.fail());
    assert.equal(answers, 1, `both connections were answered while process ${pid} was held up`);
    return answered;
  } finally {
    process.kill(pid, "SIGCONT");
    await Promise.all(calls);
  }
}

test("two processes share one port: connections go to both, one that is killed comes back, a stop lets calls finish", async () => {
  await using platform = await TestGateway.start();
  await using gateway = new RunningGateway(platform);
  const { address, health } = await gateway.untilReady();
  const ready = async (): Promise<boolean> => (await fetch(`${health}/readyz`)).ok;
  assert.ok(await ready());
  const [first = 0, second = 0] = gateway.pids("ready");
  using one = connect(address);
  using two = connect(address);
  await ask(one);
  await ask(two);
  const withoutFirst = await answeredWithout(first, [one, two]);
  const withoutSecond = await answeredWithout(second, [one, two]);
  assert.notEqual(withoutFirst, withoutSecond);

  // The caller whose process is killed finds the other one; the other caller notices nothing.
  const [survivor, orphan] = withoutFirst === 0 ? [one, two] : [two, one];
  process.kill(first, "SIGKILL");
  await waitFor(() => gateway.log.find(({ msg }) => msg.includes("ended (SIGKILL); starting it again")));
  assert.ok(await ready());
  await ask(survivor);
  await waitFor(() => ask(orphan));
  await waitFor(() => gateway.pids("ready").length === 3, { deadlineMs: START_LIMIT_MS });

  // With none left it is not ready, until one is back; the port stays.
  const [third = 0] = gateway.pids("ready").slice(2);
  for (const pid of [second, third]) process.kill(pid, "SIGKILL");
  await waitFor(async () => !(await ready()));
  await waitFor(ready, { deadlineMs: START_LIMIT_MS });
  await waitFor(() => ask(one));

  await waitFor(() => gateway.pids("ready").length === 5, { deadlineMs: START_LIMIT_MS });
  const held = Promise.withResolvers<void>();
  const results: unknown[] = [];
  const streaming = (async () => {
    async function* requests() {
      yield { app: APP, ...flightRow() };
      await held.promise;
      yield { app: APP, ...flightRow() };
    }
    for await (const { result } of one.predictStream(requests())) results.push(result?.result.case);
  })();
  await waitFor(() => results.length === 1);
  const stopped = gateway.stop("SIGTERM");
  await waitFor(() => gateway.pids("stopping").length === 2);
  held.resolve();
  await streaming;
  assert.equal(results.length, 2);
  assert.equal(await stopped, 0);
  assert.deepEqual(gateway.pids("").filter(isAlive), []);
});

test("no process stays behind when the first one is killed", async () => {
  await using platform = await TestGateway.start();
  await using gateway = new RunningGateway(platform);
  await gateway.untilReady();
  await gateway.stop("SIGKILL");
  await waitFor(() => !gateway.pids("").some(isAlive));
});

test("a process that cannot start fails the service, and says why", async () => {
  await using platform = await TestGateway.start();
  const { address } = platform.server;
  await using gateway = new RunningGateway(platform, { MILLRACE_GRPC_ADDRESS: address });
  const end = await waitFor(() => gateway.log.find(({ pid, msg }) => pid === gateway.pid && msg === "stopped"), {
    deadlineMs: START_LIMIT_MS,
  });
  assert.ok(end);
  assert.equal(await gateway.stop("SIGTERM"), 1);
  const fatal = gateway.log.filter(({ level }) => level === "fatal").map(({ msg }) => msg);
  assert.ok(fatal.some((msg) => msg.includes(`MILLRACE_GRPC_ADDRESS: cannot listen on ${address}`)));
  assert.ok(fatal.some((msg) => /process \d of the gateway ended \(exit status 1\) while it was starting/.test(msg)));
});

test("GATEWAY_PROCESSES is one unless told otherwise, auto is one for each core, and the cores are shared out", () => {
  const read = (environment: Record<string, string>) =>
    readConfig({ NATS_URL: "nats://localhost", ...environment }, readGatewayConfig);
  assert.equal(read({}).processes, 1);
  const each = read({ GATEWAY_PROCESSES: "auto" });
  assert.equal(each.processes, availableParallelism());
  assert.equal(each.workers, 1);
  assert.equal(each.threads, 1);
  assert.throws(() => read({ GATEWAY_PROCESSES: "0" }), /GATEWAY_PROCESSES must be a number from 1 to 256, not "0"/);
});

test("callers cannot load models into one of several processes", () => {
  const environment = { NATS_URL: "nats://localhost", MODEL_CONTROL: "explicit" };
  assert.equal(readConfig(environment, readGatewayConfig).modelControl, "explicit");
  assert.throws(
    () => readConfig({ ...environment, GATEWAY_PROCESSES: "3" }, readGatewayConfig),
    /MODEL_CONTROL=explicit does not go with GATEWAY_PROCESSES=3: .*; set GATEWAY_PROCESSES=1/,
  );
});

test("each process measures under a name of its own", async () => {
  let received = "";
  const collector = createServer((request, response) => {
    request.setEncoding("latin1").on("data", (text) => {
      received += text;
    });
    request.on("end", () => response.end());
  }).listen(0, "127.0.0.1");
  await once(collector, "listening");
  const { port } = collector.address() as AddressInfo;
  try {
    await using platform = await TestGateway.start();
    await using gateway = new RunningGateway(platform, {
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
      OTEL_RESOURCE_ATTRIBUTES: "service.instance.id=pod-7",
    });
    await gateway.untilReady();
    // What was measured is sent at the end.
    await gateway.stop("SIGTERM");
    assert.deepEqual([...new Set(received.match(/pod-7\.\d/g))].sort(), ["pod-7.1", "pod-7.2"]);
  } finally {
    collector.close();
  }
});

test("a process's name is built on the one that was given", () => {
  assert.equal(resourceAttributes(undefined, 2, "host"), "service.instance.id=host.2");
  assert.equal(resourceAttributes("service.instance.id=pod-7,team=a", 1, "host"), "team=a,service.instance.id=pod-7.1");
});
