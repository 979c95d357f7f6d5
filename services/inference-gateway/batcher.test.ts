import assert from "node:assert/strict";
import { test } from "node:test";
import { type Availability, Batcher, PRIORITY_LEVELS, type Terms, type Ticket } from "./batcher.ts";
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
  assert.deepEqual(batcher.finish(batch), [1]);
});

test("a full queue refuses at once", () => {
  const batcher = new Batcher<number>({ ...OPTIONS, maxQueue: 4 });
  for (const payload of [1, 2, 3, 4]) assert.ok(batcher.offer(payload, 100, 0));
  assert.equal(batcher.offer(5, 100, 0), undefined);
});

test("a cancelled request makes room in the queue", () => {
  const batcher = new Batcher<number>({ ...OPTIONS, maxQueue: 1 });
  const ticket = batcher.offer(1, 100, 0);
  batcher.cancel(ticket as Ticket<number>);
  assert.ok(batcher.offer(2, 100, 0));
  assert.deepEqual(payloads(batcher.take(0, "idle")), [2]);
});

const terms = (rows: number, { key = "", priority = 3, queueBy }: Partial<Terms> = {}): Terms => ({
  rows,
  key,
  priority,
  queueBy,
});

test("a batch is measured in rows, and never holds more than its maximum", () => {
  const batcher = new Batcher<number>(OPTIONS);
  batcher.offer(1, 100, 0, terms(2));
  batcher.offer(2, 100, 0, terms(2));
  batcher.offer(3, 100, 0, terms(3));
  batcher.offer(4, 100, 0, terms(1));
  assert.equal(batcher.waitingRows, 8);
  assert.deepEqual(payloads(batcher.take(0, "idle")), [1, 2]);
  assert.deepEqual(payloads(batcher.take(0, "idle")), [3, 4]);
});

test("a request that does not fit into a batch is not overtaken by a later one that would", () => {
  const batcher = new Batcher<number>(OPTIONS);
  batcher.offer(1, 100, 0, terms(2));
  batcher.offer(2, 100, 0, terms(3));
  batcher.offer(3, 100, 0, terms(2));
  assert.deepEqual(payloads(batcher.take(0, "idle")), [1]);
  assert.deepEqual(payloads(batcher.take(0, "idle")), [2]);
});

test("requests with different keys never share a batch, and the first in line decides whose turn it is", () => {
  const batcher = new Batcher<number>(OPTIONS);
  batcher.offer(1, 100, 0, terms(1, { key: "a" }));
  batcher.offer(2, 100, 0, terms(1, { key: "b" }));
  batcher.offer(3, 100, 0, terms(1, { key: "a" }));
  assert.deepEqual(payloads(batcher.take(0, "idle")), [1, 3]);
  assert.deepEqual(payloads(batcher.take(0, "idle")), [2]);
});

test("more important requests are served first, those alike in the order of their arrival", () => {
  const batcher = new Batcher<number>(OPTIONS);
  [5, 3, 1, 3, 1, 2].forEach((priority, index) => batcher.offer(index, 100, 0, terms(1, { priority })));
  const ahead = () => [1, 2, 3, 4, 5].map((priority) => batcher.rowsAhead(priority));
  assert.deepEqual(ahead(), [2, 3, 5, 5, 6]);
  assert.deepEqual(payloads(batcher.take(0, "idle")), [2, 4, 5, 1]);
  assert.deepEqual(ahead(), [0, 0, 1, 1, 2]);
  assert.deepEqual(payloads(batcher.take(0, "idle")), [3, 0]);
});

test("in a full queue a more important request displaces the youngest of the least important ones, never its equals", () => {
  const batcher = new Batcher<number>({ ...OPTIONS, maxQueue: 4 });
  [4, 5, 5, 3].forEach((priority, index) => batcher.offer(index, 100, 0, terms(1, { priority })));
  const urgent = terms(2, { priority: 3 });
  assert.equal(batcher.offer(9, 100, 0, urgent), undefined);
  assert.deepEqual(payloads(batcher.displace(urgent)), [2, 1]);
  assert.ok(batcher.offer(9, 100, 0, urgent));
  assert.deepEqual(batcher.displace(terms(2, { priority: 3 })), [], "one row of a lesser level is too little room");
  assert.deepEqual(batcher.displace(terms(1, { priority: 5 })), []);
  assert.equal(batcher.waitingRows, 4);
});

test("a request's time in the queue can be limited apart from its deadline, and no longer counts once it runs", () => {
  const batcher = new Batcher<number>(OPTIONS);
  batcher.offer(1, 100, 0, terms(4, { queueBy: 10 }));
  batcher.offer(2, 100, 0, terms(4, { queueBy: 10 }));
  batcher.take(0, "idle");
  assert.equal(batcher.nextWakeAt("full"), 10);
  assert.deepEqual(payloads(batcher.expire(10)), [2]);
  assert.equal(batcher.nextWakeAt("full"), 100);
  assert.deepEqual(payloads(batcher.expire(100)), [1]);
});

test("a request that cannot be answered in time is not run, and is settled when its turn comes", () => {
  const batcher = new Batcher<number>(OPTIONS, 20);
  batcher.offer(1, 15, 0);
  batcher.offer(2, 25, 0);
  assert.deepEqual(payloads(batcher.take(0, "idle")), [2]);
  assert.deepEqual(payloads(batcher.hopeless()), [1]);
  assert.deepEqual(batcher.hopeless(), []);
  assert.equal(batcher.unsettled, 1);
  batcher.offer(3, 30, 15);
  assert.equal(batcher.take(15, "idle"), undefined);
  assert.deepEqual(payloads(batcher.hopeless()), [3]);
});

test("a request of more rows than the queue holds is taken when nothing waits", () => {
  const batcher = new Batcher<number>({ ...OPTIONS, maxQueue: 4 });
  assert.ok(batcher.offer(1, 100, 0, terms(9)));
  assert.equal(batcher.offer(2, 100, 0, terms(1)), undefined);
  assert.deepEqual(payloads(batcher.take(0, "idle")), [1]);
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
  const leastRunMs = whole(2) * whole(4);
  const batcher = new Batcher<number>(options, leastRunMs);
  const workers: Worker[] = Array.from({ length: 1 + whole(3) }, () => ({ runs: [] }));
  const settled = new Map<number, string>();
  const deadlines = new Map<number, number>();
  const open = new Map<number, Ticket<number>>();
  const inBatch = new Set<number>();
  let offered = 0;

  const settle = (payload: number, how: string): void => {
    assert.equal(settled.get(payload), undefined, `request ${payload} was settled twice`);
    settled.set(payload, how);
    open.delete(payload);
  };
  const leastLoaded = (): Worker => workers.reduce((best, each) => (each.runs.length < best.runs.length ? each : best));
  const availability = (): Availability => (["idle", "busy"] as const)[leastLoaded().runs.length] ?? "full";
  const checkBatch = (batch: readonly Ticket<number>[], now: number): void => {
    const rows = batch.reduce((sum, { terms }) => sum + terms.rows, 0);
    assert.ok(batch.length === 1 || (batch.length > 1 && rows <= options.maxSize), "a batch has its size in rows");
    const { key } = (batch[0] as Ticket<number>).terms;
    const order = ({ payload, terms }: Ticket<number>): number => terms.priority * 1e6 + payload;
    for (const [index, ticket] of batch.entries()) {
      assert.equal(ticket.terms.key, key, "requests of one batch are alike");
      assert.ok((deadlines.get(ticket.payload) as number) >= now + leastRunMs, "what runs can still make it");
      if (index > 0) assert.ok(order(ticket) > order(batch[index - 1] as Ticket<number>), "by priority, then arrival");
      inBatch.add(ticket.payload);
    }
    const last = order(batch.at(-1) as Ticket<number>);
    for (const [payload, ticket] of open) {
      if (inBatch.has(payload) || ticket.terms.key !== key || ticket.settled) continue;
      assert.ok(order(ticket) > last, "nobody of its kind is overtaken");
    }
  };
  const pump = (now: number): void => {
    for (const { payload, running, terms } of batcher.expire(now)) {
      const limit = running ? Infinity : (terms.queueBy ?? Infinity);
      assert.ok(Math.min(deadlines.get(payload) as number, limit) <= now, "expired before its time");
      settle(payload, "expired");
    }
    for (;;) {
      const batch = batcher.take(now, availability());
      if (batch === undefined) break;
      checkBatch(batch, now);
      const worker = leastLoaded();
      const startsAt = Math.max(now, worker.runs.at(-1)?.doneAt ?? now);
      worker.runs.push({ batch, doneAt: startsAt + whole(12) });
    }
    for (const { payload } of batcher.hopeless()) {
      assert.ok((deadlines.get(payload) as number) < now + leastRunMs, "given up although it could make it");
      settle(payload, "hopeless");
    }
    assert.ok(availability() !== "idle" || batcher.waiting === 0, "nothing waits while a worker is idle");
  };

  for (let now = 0; now < 400; now += 1) {
    for (let arrivals = whole(random() < 0.1 ? 30 : 4); arrivals > 0; arrivals -= 1) {
      const payload = offered++;
      const deadline = now + 1 + whole(40);
      const wish = terms(random() < 0.5 ? 1 : 1 + whole(options.maxSize + 2), {
        key: String(whole(3)),
        priority: random() < 0.6 ? 3 : 1 + whole(PRIORITY_LEVELS),
        queueBy: random() < 0.2 ? now + whole(20) : undefined,
      });
      const full = batcher.waiting > 0 && batcher.waitingRows + wish.rows > options.maxQueue;
      if (full) {
        for (const displaced of batcher.displace(wish)) {
          assert.ok(displaced.terms.priority > wish.priority, "only the less important make room");
          settle(displaced.payload, "displaced");
        }
      }
      const fits = batcher.waiting === 0 || batcher.waitingRows + wish.rows <= options.maxQueue;
      const ticket = batcher.offer(payload, deadline, now, wish);
      assert.equal(ticket !== undefined, fits, "refused exactly when the queue is full");
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
        for (const index of batcher.finish(batch)) settle((batch[index] as Ticket<number>).payload, "answered");
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
