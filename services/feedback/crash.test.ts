import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { waitFor } from "@millrace/test-harness";
import { TestFeedback } from "./feedbackForTests.ts";

const FLIGHTS = 90;
const KILLS = 2;

/** The service as a process of its own, as it is run in life. */
function startProcess({ config }: TestFeedback): ChildProcess {
  const { bus, database, grpcAddress } = config;
  return spawn(process.execPath, [new URL("main.ts", import.meta.url).pathname], {
    stdio: ["ignore", "ignore", "inherit"],
    env: {
      ...process.env,
      LOG_LEVEL: "fatal",
      NATS_URL: bus.url,
      NATS_USER: bus.user,
      NATS_PASSWORD: bus.password,
      DATABASE_URL: database.url,
      MILLRACE_GRPC_ADDRESS: grpcAddress,
    },
  });
}

test("killed at any moment with kill -9, it tells each outcome and each correction once", {
  timeout: 60_000,
}, async () => {
  await using feedback = await TestFeedback.start();
  const app = await feedback.app();
  await feedback.stopService();
  const flights = Array.from({ length: FLIGHTS }, (_, index) => `f${index}`);
  const messages = async (): Promise<number> => (await feedback.bus.manager.streams.info("OUTCOMES")).state.messages;
  for (let kill = 0; kill < KILLS; kill += 1) {
    await deliverAllAgain();
    const process = startProcess(feedback);
    const gone = once(process, "exit");
    await waitFor(caughtUp, { deadlineMs: 20_000, what: "the process to have handled what there was" });
    const before = await messages();
    const publishing = publish((kill * FLIGHTS) / KILLS, ((kill + 1) * FLIGHTS) / KILLS);
    await waitFor(async () => (await messages()) > before, {
      deadlineMs: 20_000,
      what: `outcomes before kill ${kill}`,
    });
    process.kill("SIGKILL");
    await Promise.all([gone, publishing]);
  }
  await deliverAllAgain();
  await feedback.startService();
  await app.settled();
  const told = (await app.outcomes()).map(
    ({ predictionId, revision, label }) => `${predictionId} ${revision} ${label}`,
  );
  assert.equal(new Set(told.map((each) => each.split(" ", 2).join(" "))).size, told.length, "no revision twice");
  assert.equal(new Set(told.map((each) => each.split(" ")[0])).size, FLIGHTS);
  const rows: [string, number][] = [];
  for await (const response of feedback.client.readOutcomes({ app: app.name })) {
    rows.push(...response.rows.map(({ predictionId, label }): [string, number] => [predictionId, label]));
  }
  assert.deepEqual(
    Object.fromEntries(rows),
    Object.fromEntries(flights.map((_, index) => [`p${index}`, index % 3 === 1 ? 0 : 1])),
  );

  /** A third comes before its prediction, a third is corrected, and everything of a third is sent twice. */
  async function publish(from: number, to: number): Promise<void> {
    for (let index = from; index < to; index += 1) {
      const flight = `f${index}`;
      const truth = { flight, hour: 3, delay: 20, id: `l${index}`, sequence: index };
      const correction = { flight, hour: 4, delay: 0, id: `c${index}`, sequence: FLIGHTS + index };
      if (index % 3 === 0) await app.land(truth);
      await app.predict(flight, 1, { id: `p${index}` });
      if (index % 3 !== 0) await app.land(truth);
      if (index % 3 === 1) await app.land(correction, truth);
      if (index % 3 === 2) await app.predict(flight, 1, { id: `p${index}` });
    }
  }

  /** What was in the hands of a killed process would come again after 10 s only; so everything does, at once. */
  async function deliverAllAgain(): Promise<void> {
    for (const [stream, durable] of [
      ["PREDICTIONS", "feedback-predictions"],
      ["ACCEPTED", `feedback-${app.name}`],
    ] as const)
      await feedback.bus.manager.consumers.delete(stream, durable).catch(() => false);
  }

  async function caughtUp(): Promise<boolean> {
    const { manager } = feedback.bus;
    const info = await manager.consumers.info("ACCEPTED", `feedback-${app.name}`).catch(() => undefined);
    return info !== undefined && info.num_pending + info.num_ack_pending === 0;
  }
});
