import type { ModelVersion } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { nameOf, rollBack, type Switch } from "./promotion.ts";
import type { StageVerdict } from "./promotionPolicy.ts";
import type { Change, RegistryTransaction } from "./registryTransaction.ts";
import { policyOf, type TrialRow } from "./trialRow.ts";

/** What a probation does to the registry, in the transaction of `changes`. */
export interface ProbationSteps {
  readonly changes: RegistryTransaction;
  readonly change: Change;
  /** Writes who serves, and the states that change with it. */
  apply(next: Switch, change: Change): Promise<void>;
  send(what: string, model: ModelVersion, reason: string, rolledBack: RolledBack): Promise<void>;
}

/** Which version went, and by which numbers. */
export interface RolledBack {
  readonly rolledBack: number;
  readonly figures: Readonly<Record<string, number>>;
}

/** The time in which a new champion may be sent back by itself: the champion before is its shadow. */
export class Probation {
  readonly #steps: ProbationSteps;

  constructor(steps: ProbationSteps) {
    this.#steps = steps;
  }

  /** The champion before, where the new one is to be on probation beside it. */
  async #previous(app: string, policy: Uint8Array | undefined): Promise<number | undefined> {
    if (policy === undefined || policyOf({ policy }).probation === undefined) return undefined;
    return (await this.#steps.changes.deployment(app))?.previous?.number;
  }

  /** Whether a champion that has just been made is to be on probation. */
  async isDue(app: string, policy: Uint8Array | undefined): Promise<boolean> {
    return (await this.#previous(app, policy)) !== undefined;
  }

  /** Begins it; nothing happens where there is none to begin. No other version may be on its way. */
  async begin(champion: ModelVersion, policy: Uint8Array | undefined): Promise<void> {
    const { app, number } = champion;
    const previous = await this.#previous(app, policy);
    if (policy === undefined || previous === undefined) return;
    const { changes, change } = this.#steps;
    const sinceMs = change.eventTimeMs;
    await changes.setTrial({ app, number, champion: previous, policy, stage: "probation", waiting: false, sinceMs });
    const { outcomes = 0 } = policyOf({ policy }).probation ?? {};
    const why = `It is on probation until ${outcomes} outcomes are known; ${app}/${previous} is asked beside it, and serves again if it does better.`;
    await changes.setState(champion, { ...change, why, figures: {} });
  }

  /** Ends it without consequences for who serves. */
  async end(
    trial: TrialRow,
    champion: ModelVersion,
    why: string,
    figures: StageVerdict["figures"] = {},
  ): Promise<void> {
    const { changes, change } = this.#steps;
    await changes.endTrial(trial);
    await changes.setState(champion, { ...change, why, figures });
  }

  /** Makes the champion before serve again. */
  async rollBack(trial: TrialRow, { evidence, figures }: StageVerdict): Promise<void> {
    const { app, number } = trial;
    const { changes, change } = this.#steps;
    const bad = nameOf(trial);
    const reason = `${bad} did worse than ${app}/${trial.champion} on the outcomes that both saw, and was rolled back. ${evidence.join(" ")}`;
    const next = rollBack(await changes.deployment(app), app, { sinceMs: change.eventTimeMs, reason });
    await changes.endTrial(trial);
    await this.#steps.apply(next, { ...change, why: reason, figures });
    await this.#steps.send("rolled_back", next.deployment.champion as ModelVersion, reason, {
      rolledBack: number,
      figures,
    });
  }
}
