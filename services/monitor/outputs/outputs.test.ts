import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { alertSubject, type Bus } from "@millrace/bus";
import { type Alert, AlertSchema, AlertState, Severity } from "@millrace/proto/millrace/monitor/v1/alert_pb.ts";
import { silentLogger } from "@millrace/runtime";
import { startNats, type TestNats, waitFor } from "@millrace/test-harness";
import { deliverTo } from "./deliver.ts";
import { receiversOf } from "./receivers.ts";

interface Got {
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

let nats: TestNats;
let bus: Bus;
let server: Server;
let url: string;
const got: Got[] = [];
/** What is answered next; then 200. */
const answers: number[] = [];

before(async () => {
  nats = await startNats();
  bus = await nats.connect();
  server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on("data", (part: Buffer) => parts.push(part));
    request.on("end", () => {
      got.push({ path: request.url ?? "", headers: request.headers, body: Buffer.concat(parts).toString() });
      response.writeHead(answers.shift() ?? 200).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
after(async () => {
  server.close();
  await bus[Symbol.asyncDispose]();
  await nats[Symbol.asyncDispose]();
});

const alertOf = (id: string, change: Partial<Alert> = {}): Alert => ({
  ...create(AlertSchema, {
    id,
    app: "app",
    monitor: "drift",
    state: AlertState.OPEN,
    severity: Severity.WARNING,
    title: "It drifts.",
  }),
  ...change,
});

/** Publishes alerts, and delivers what there is to a receiver with no memory of earlier ones. */
async function deliver(
  config: Partial<Parameters<typeof receiversOf>[0]>,
  alerts: readonly Alert[],
  expected: number,
): Promise<Got[]> {
  got.length = 0;
  await bus.manager.streams.purge("ALERTS");
  for (const alert of alerts)
    await bus.publish(alertSubject("app", "drift"), AlertSchema, alert, { id: `${alert.id}-${alert.state}` });
  const [receiver] = receiversOf({ webhookUrl: "", webhookSecret: "", alertmanagerUrl: "", ...config });
  assert.ok(receiver);
  const durable = `test-${receiver.name}-${alerts[0]?.id}`;
  const onFailure = (error: unknown): void => assert.fail(error as Error);
  const options = { stream: "ALERTS", durable, filter: "alerts.>", maxBatch: 16, onFailure };
  await using _consumer = await bus.consume({ ...options, handle: deliverTo(receiver, silentLogger) });
  await waitFor(async () => {
    const { num_pending: pending, num_ack_pending: waiting } = await bus.manager.consumers.info("ALERTS", durable);
    return got.length >= expected && pending + waiting === 0;
  });
  return got;
}

test("a webhook is told of each state, signed, and again until it takes it", async () => {
  answers.push(503);
  const told = await deliver({ webhookUrl: `${url}/hook`, webhookSecret: "secret" }, [alertOf("w1")], 2);
  assert.deepEqual(
    told.map(({ path }) => path),
    ["/hook", "/hook"],
  );
  assert.equal(told[0]?.headers["millrace-delivery"], told[1]?.headers["millrace-delivery"]);
  const { headers, body = "" } = told[1] ?? {};
  const [, seconds, signature] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(headers?.["millrace-signature"])) ?? [];
  assert.equal(createHmac("sha256", "secret").update(`${seconds}.${body}`).digest("hex"), signature);
  assert.equal((JSON.parse(body) as { title: string }).title, "It drifts.");
});

test("what is muted is told to nobody, and of what somebody has taken on only the end", async () => {
  const acknowledgement = { $typeName: "millrace.monitor.v1.Acknowledgement" as const, by: "ada", note: "" };
  const alerts = [
    alertOf("m1", { muted: true }),
    alertOf("m2", { acknowledgement, state: AlertState.UPDATED }),
    alertOf("m3", { acknowledgement, state: AlertState.RESOLVED }),
  ];
  const told = await deliver({ webhookUrl: url, webhookSecret: "secret" }, alerts, 1);
  assert.deepEqual(
    told.map(({ body }) => (JSON.parse(body) as { id: string }).id),
    ["m3"],
  );
});

test("a receiver that refuses one for good is not told of it again", async () => {
  answers.push(400);
  const told = await deliver({ webhookUrl: url, webhookSecret: "secret" }, [alertOf("r1"), alertOf("r2")], 2);
  assert.deepEqual(
    told.map(({ body }) => (JSON.parse(body) as { id: string }).id),
    ["r1", "r2"],
  );
});

test("Alertmanager knows all states of an alert by the same labels, and when it ends", async () => {
  const alerts = [alertOf("a1"), alertOf("a1", { state: AlertState.RESOLVED })];
  const told = await deliver({ alertmanagerUrl: `${url}/am/` }, alerts, 2);
  assert.equal(told[0]?.path, "/am/api/v2/alerts");
  const [[open], [over]] = told.map(({ body }) => JSON.parse(body) as Sent[]) as [Sent[], Sent[]];
  assert.deepEqual(open?.labels, over?.labels);
  assert.equal(open?.labels["alertname"], "Millrace_drift");
  assert.equal(open?.annotations["summary"], "It drifts.");
  assert.ok(Date.parse(open?.endsAt ?? "") > Date.now());
  assert.ok(Date.parse(over?.endsAt ?? "") <= Date.now());
});

interface Sent {
  readonly labels: Record<string, string>;
  readonly annotations: Record<string, string>;
  readonly endsAt: string;
}

test("settings that make no sense are told by name", () => {
  const none = { webhookUrl: "", webhookSecret: "", alertmanagerUrl: "" };
  assert.deepEqual(receiversOf(none), []);
  assert.throws(() => receiversOf({ ...none, webhookUrl: "https://x.example" }), /ALERT_WEBHOOK_SECRET is not set/);
  assert.throws(
    () => receiversOf({ ...none, alertmanagerUrl: "x:9093" }),
    /ALERTMANAGER_URL must be an address .* "x:9093"/,
  );
});
