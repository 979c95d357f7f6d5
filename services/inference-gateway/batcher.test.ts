import assert from "node:assert/strict";
import { test } from "node:test";
import { type Availability, Batcher, type Ticket } from "./batcher.ts";
import { randomNumbers } from "./randomNumbers.ts";

const OPTIONS = { maxQueue: 100, maxSize: 4, maxDelayMs: 5 };

const payloads = (tickets: readonly Ticket<number>[] | undefined): number[] | undefined =>
  tickets?.map(({ payload }) => payload);

test("a request that finds an idle worker does not wait", () => {
  const batcher = new Batcher<number>(OPTIONS);
  batcher.offer(1, 100, 0);
  assert.deepEqual(payloads(batcher.take(0, "idle")), [1]);
});

test("whatever arrives during a run forms the next batch", () => {
  const batcher = new Batcher<number>(OPTIONS);
  for (const payload of [1, 2, 3]) batcher.offer(payload, 100, 0);
  assert.equal(batcher.take(0, "full"), undefined);
  assert.deepEqual(payloads(batcher.take(1, "idle")), [1, 2, 3]);
});

test("a busy worker gets its next batch ahead when it is full or has waited long enough, not before", () => {
  const batcher = new Batcher<number>(OPTIONS);
  batcher.offer(1, 100, 0);
  assert.equal(batcher.take(4, "busy"), undefined);
  assert.equal(batcher.nextWakeAt("busy"), 5);
  assert.deepEqual(payloads(batcher.take(5, "busy")), [1]);
  for (const payload of [2, 3, 4, 5, 6]) batcher.offer(payload, 100, 6);
  assert.deepEqual(payloads(batcher.take(6, "busy")), [2, 3, 4, 5]);
  assert.equal(batcher.take(6, "busy"), undefined);
});

test("a request that expires in the queue is settled then, while another batch runs", () => {
  const batcher = new Batcher<number>(OPTIONS);
  batcher.offer(1, 1_000, 0);
  batcher.take(0, "idle");
  batcher.offer(2, 10, 1);
  assert.equal(batcher.nextWakeAt("full"), 10);
  assert.deepEqual(payloads(batcher.expire(10)), [2]);
  assert.equal(batcher.waiting, 0);
});

test("a request that expires during its run is settled then, and its result is not asked for", () => {
  const batcher = new Batcher<number>(OPTIONS);
  batcher.offer(1, 10, 0);
  batcher.offer(2, 100, 0);
  const batch = batcher.take(0, "idle") as Ticket<number>[];
  assert.deepEqual(payloads(batcher.expire(10)), [1]);
  assert.deepEqual(batcher.finish(batch, 20), [1]);
});

test("a full queue refuses at once and says how long its work will take", () => {
  const batcher = new Batcher<number>({ ...OPTIONS, maxQueue: 4 });
  batcher.offer(0, 100, 0);
  batcher.finish(batcher.take(0, "idle") as Ticket<number>[], 200);
  for (const payload of [1, 2, 3, 4]) assert.ok(batcher.offer(payload, 100, 0));
  assert.equal(batcher.offer(5, 100, 0), undefined);
  assert.equal(batcher.drainMs, 80);
});

test("a cancelled request makes room in the queue", () => {
  const batcher = new Batcher<number>({ ...OPTIONS, maxQueue: 1 });
  const ticket = batcher.offer(1, 100, 0);
  batcher.cancel(ticket as Ticket<number>);
  assert.ok(batcher.offer(2, 100, 0));
  assert.deepEqual(payloads(batcher.take(0, "idle")), [2]);
});

interface Worker {
  /** Batches given to it, with the time at which each is done. */
  readonly runs: { batch: Ticket<number>[]; doneAt: number }[];
}

/** Plays a random load against random workers, as the shell would, and checks the promises after every step. */
function simulate(seed: number): void {
  const random = randomNumbers(seed);
  const whole = (max: number): number => Math.floor(random() * max);
  const options = { maxQueue: 1 + whole(40), maxSize: 1 + whole(10), maxDelayMs: whole(8) };
  const batcher = new Batcher<number>(options);
  const workers: Worker[] = Array.from({ length: 1 + whole(3) }, () => ({ runs: [] }));
  const settled = new Map<number, string>();
  const deadlines = new Map<number, number>();
  const open = new Map<number, Ticket<number>>();
  let lastTaken = -1;
  let offered = 0;

  const settle = (payload: number, how: string): void => {
    assert.equal(settled.get(payload), undefined, `request ${payload} was settled twice`);
    settled.set(payload, how);
    open.delete(payload);
  };
  const leastLoaded = (): Worker => workers.reduce((best, each) => (each.runs.length < best.runs.length ? each : best));
  const availability = (): Availability => (["idle", "busy"] as const)[leastLoaded().runs.length] ?? "full";
  const pump = (now: number): void => {
    for (const { payload } of batcher.expire(now)) {
      assert.ok((deadlines.get(payload) as number) <= now, "expired before its deadline");
      settle(payload, "expired");
    }
    for (;;) {
      const batch = batcher.take(now, availability());
      if (batch === undefined) break;
      assert.ok(batch.length >= 1 && batch.length <= options.maxSize, "a batch has its size");
      for (const { payload } of batch) {
        assert.ok(payload > lastTaken, "first come, first served");
        lastTaken = payload;
      }
      const worker = leastLoaded();
      const startsAt = Math.max(now, worker.runs.at(-1)?.doneAt ?? now);
      worker.runs.push({ batch, doneAt: startsAt + whole(12) });
    }
    assert.ok(availability() !== "idle" || batcher.waiting === 0, "nothing waits while a worker is idle");
  };

  for (let now = 0; now < 400; now += 1) {
    for (let arrivals = whole(random() < 0.1 ? 30 : 4); arrivals > 0; arrivals -= 1) {
      const payload = offered++;
      const deadline = now + 1 + whole(40);
      const full = batcher.waiting >= options.maxQueue;
      const ticket = batcher.offer(payload, deadline, now);
      assert.equal(ticket === undefined, full, "refused exactly when the queue is full");
      if (ticket === undefined) settled.set(payload, "refused");
      else {
        deadlines.set(payload, deadline);
        open.set(payload, ticket);
      }
    }
    for (const [payload, ticket] of open) {
      if (random() > 0.02) continue;
      batcher.cancel(ticket);
      settle(payload, "cancelled");
    }
    for (const worker of workers) {
      while (worker.runs[0] !== undefined && worker.runs[0].doneAt <= now) {
        const { batch } = worker.runs.shift() as Worker["runs"][number];
        for (const index of batcher.finish(batch, 1)) settle((batch[index] as Ticket<number>).payload, "answered");
      }
    }
    pump(now);
    for (const [payload] of open) assert.ok((deadlines.get(payload) as number) > now, "nobody is left past a deadline");
    assert.equal(batcher.unsettled, open.size);
    const wakeAt = batcher.nextWakeAt(availability());
    for (const payload of open.keys()) {
      assert.ok(wakeAt !== undefined && wakeAt <= (deadlines.get(payload) as number), "it wakes for every deadline");
    }
  }
  pump(1_000);
  assert.equal(settled.size, offered, "every request was settled");
}

test("under any load every request is settled exactly once, in time, in order, and no worker idles", () => {
  for (let seed = 1; seed <= 300; seed += 1) simulate(seed);
});
