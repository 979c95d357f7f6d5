import type { Database } from "@millrace/db";
import { type Clock, systemClock } from "@millrace/runtime";
import { type JoinScope, JoinTransaction, type ProgressRow, type Stored } from "./joinTransaction.ts";
import type { Label } from "./labelRule.ts";
import type { PredictionRow } from "./predictionRow.ts";
import { LOCK_PROGRESS, PLAN_BY_INDEX, PRUNE_LABELS } from "./statements.ts";

/** Predictions and labels, and their join. */
export class OutcomeStore {
  readonly #database: Database;
  readonly #clock: Clock;

  constructor(database: Database, clock: Clock = systemClock) {
    this.#database = database;
    this.#clock = clock;
  }

  /**
   * Stores predictions, once each, and joins them with labels that came earlier.
   *
   * @param watermarkMs of the features behind them; 0 when nothing is known of it
   */
  storePredictions(scope: JoinScope, rows: readonly PredictionRow[], watermarkMs: number): Promise<Stored> {
    return this.#transaction(scope, true, async (transaction) => {
      if (watermarkMs > 0) {
        for (const { predictedAtMs } of rows)
          transaction.observe({ knownAtMs: watermarkMs, occurredAtMs: predictedAtMs });
      }
      await transaction.storePredictions(rows, watermarkMs);
    });
  }

  /** Stores labels, once each, and joins them with the predictions that they are the truth of. */
  storeLabels(scope: JoinScope, labels: readonly Label[]): Promise<Stored> {
    return this.#transaction(scope, false, (transaction) => transaction.storeLabels(labels));
  }

  async pruneLabels(app: string, beforeMs: number): Promise<void> {
    await this.#database.query({ ...PRUNE_LABELS, values: [app, beforeMs] });
  }

  /** Until when predictions have come, event time; undefined before the first. */
  async predictedUntil(app: string): Promise<number | undefined> {
    const [row] = await this.#database.query<{ until: number | null }>({
      name: "predicted_until",
      text: "SELECT predicted_until::float8 AS until FROM app_progress WHERE app = $1",
      values: [app],
    });
    return row?.until ?? undefined;
  }

  #transaction(
    scope: JoinScope,
    predictions: boolean,
    work: (transaction: JoinTransaction) => Promise<void>,
  ): Promise<Stored> {
    return this.#database.transaction(async (client) => {
      const nowMs = this.#clock.now();
      const { rows } = await client.query<ProgressRow>({ ...LOCK_PROGRESS, values: [scope.app, predictions] });
      await client.query(PLAN_BY_INDEX);
      const transaction = new JoinTransaction(client, scope, rows[0] as ProgressRow, nowMs);
      await work(transaction);
      return transaction.finish();
    });
  }
}
