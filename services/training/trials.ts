import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Promotion, PromotionSchema } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { ModelEventSchema, ModelState, type ModelVersion } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { MillraceError } from "@millrace/runtime";
import { Probation, type RolledBack } from "./probation.ts";
import { inState, nameOf, promote, type Switch } from "./promotion.ts";
import {
  firstStage,
  judgeCanary,
  judgeProbation,
  judgeShadow,
  LOOKS,
  looksDue,
  neededOf,
  type PromotionPolicy,
  promotionPolicy,
  type Stage,
  type StageVerdict,
  stageAfter,
} from "./promotionPolicy.ts";
import type { Change, RegistryTransaction } from "./registryTransaction.ts";
import { policyOf, type TrialRow } from "./trialRow.ts";

/**
 * The way of a candidate that passed its gates: its stages, one candidate of an app at a time. A newer candidate waits (`queued`) until the
 * one before it has come to an end, or evidence would never be complete where candidates come often; of several that wait the newest is
 * kept. It begins when the champion that it beat still serves. Otherwise it retires: it was never compared with the new one, and the next
 * training is. While the one before it has not begun, for want of a person's word, the newer takes its place.
 *
 * When a person changes the champion meanwhile, the trial begins again, against the new one. The last stage is the champion's own: its
 * probation, while which the next candidate waits.
 */
export class Trials {
  readonly #changes: RegistryTransaction;
  readonly #change: Change;
  readonly #traceparent: string;
  readonly #probation: Probation;

  /** All of it is one transaction, by whom and why `change` says. */
  constructor(changes: RegistryTransaction, change: Change, traceparent: string) {
    this.#changes = changes;
    this.#change = change;
    this.#traceparent = traceparent;
    this.#probation = new Probation({
      changes,
      change,
      apply: (next, why) => this.apply(next, why),
      send: (what, model, reason, rolledBack) => this.send(what, model, reason, rolledBack),
    });
  }

  /** Whether a version has a way to go at all, or serves at once: where nothing serves there is nothing to compare with. */
  static hasSteps(promotion: Promotion | undefined): boolean {
    return firstStage(promotionPolicy(promotion)).stage !== "champion";
  }

  /** Lets a version begin its way, or wait for its turn. */
  async begin(version: ModelVersion, champion: number, promotion: Promotion | undefined): Promise<void> {
    const { app, number } = version;
    const policy = toBinary(PromotionSchema, promotion ?? create(PromotionSchema));
    const before = await this.#changes.trial(app);
    if (before?.number === number) throw onItsWay(version);
    const trial = { app, number, champion, policy, sinceMs: this.#change.eventTimeMs };
    if (before !== undefined && before.stage !== "candidate") {
      const queued = await this.#changes.trial(app, true);
      if (queued !== undefined && queued.number !== number)
        await this.#retire(queued, `A newer candidate, ${nameOf(version)}, waits in its place.`);
      await this.#changes.setTrial({ ...trial, stage: "queued", waiting: false });
      const until = before.stage === "probation" ? "stood its probation" : "come to the end of its way";
      await this.#note(inState(version, ModelState.CANDIDATE), `It waits until ${app}/${before.number} has ${until}.`);
      return;
    }
    if (before !== undefined) await this.#retire(before, `A newer candidate, ${nameOf(version)}, takes its place.`);
    await this.#start(version, champion, policy);
  }

  /**
   * Another version was made the champion: a probation ends, what is on its way begins again, or is at its end, and the new champion's
   * probation begins.
   *
   * @param policy the promotion policy by which it became the champion; absent: there is no probation
   */
  async afterSwitch(champion: ModelVersion, policy?: Uint8Array): Promise<void> {
    const { app, number } = champion;
    const probation = await this.#probation.isDue(app, policy);
    const current = await this.#changes.trial(app);
    if (current?.stage === "probation") {
      const on = await this.#version(current);
      await this.#probation.end(current, on, `Its probation ended when ${nameOf(champion)} was made the champion.`);
    } else if (current?.number === number) await this.#changes.endTrial(current);
    else if (current !== undefined && probation) await this.#putAside(current, number);
    else if (current !== undefined) {
      const why = `${nameOf(champion)} was made the champion: it begins again, compared with that.`;
      await this.#start(await this.#version(current), number, current.policy, why);
    }
    const queued = await this.#changes.trial(app, true);
    if (queued?.number === number) await this.#changes.endTrial(queued);
    if (probation) await this.#probation.begin(champion, policy);
    else await this.#startQueued(app);
  }

  /** The version on its way waits for the end of the new champion's probation. */
  async #putAside(trial: TrialRow, champion: number): Promise<void> {
    const { app, number, policy } = trial;
    const queued = await this.#changes.trial(app, true);
    if (queued !== undefined && queued.number !== champion) await this.#retire(queued, outdated(queued));
    else if (queued !== undefined) await this.#changes.endTrial(queued);
    const sinceMs = this.#change.eventTimeMs;
    await this.#changes.setTrial({ app, number, champion, policy, stage: "queued", waiting: false, sinceMs });
    const why = `${app}/${champion} was made the champion: it waits until that has stood its probation, and begins again.`;
    await this.#note(inState(await this.#version(trial), ModelState.CANDIDATE), why);
  }

  /** A person's word: the next step, whatever the evidence; a probation ends. */
  async advance(version: ModelVersion, from: ModelState): Promise<void> {
    const trial = await this.#changes.trial(version.app);
    if (trial?.number !== version.number) {
      throw new MillraceError(
        "failed_precondition",
        `${nameOf(version)} is not on its way to champion (model.promotion); promote it to make it the champion at once`,
      );
    }
    if (from !== ModelState.UNSPECIFIED && from !== version.state) return;
    await this.#step(trial, { evidence: [this.#change.why], figures: {} });
  }

  /** Whether a version is the champion, and on probation. */
  async isOnProbation({ app, number }: ModelVersion): Promise<boolean> {
    const trial = await this.#changes.trial(app);
    return trial?.number === number && trial.stage === "probation";
  }

  /** Looks at the evidence of the trial that there is now, and does what follows from it. */
  async look(app: string): Promise<void> {
    const trial = await this.#changes.trial(app);
    if (trial === undefined || trial.waiting || trial.stage === "queued" || trial.stage === "candidate") return;
    const policy = policyOf(trial);
    const due = looksDue(await this.#changes.evidence().seen(trial), neededOf(policy, trial.stage));
    const look = due > trial.looks ? due : 0;
    const verdict = await this.#judge(trial, policy, look);
    if (verdict.kind === "reject") await this.#reject(trial, verdict);
    else if (verdict.kind === "pass" && policy.byPerson && trial.stage !== "probation")
      await this.#wait(trial, verdict);
    else if (verdict.kind === "pass") await this.#step(trial, verdict);
    else if (look > 0)
      await this.#changes.noteLook(trial, { looks: due, waiting: false, evidence: [...verdict.evidence] });
  }

  async #judge(trial: TrialRow, policy: PromotionPolicy, look: number): Promise<StageVerdict> {
    const evidence = this.#changes.evidence();
    if (trial.stage === "canary") return judgeCanary(policy, await evidence.canary(trial), look);
    const judge = trial.stage === "shadow" ? judgeShadow : judgeProbation;
    return judge(policy, await evidence.shadow(trial), look);
  }

  /** Takes a version off its way; nothing happens to one that is not on it. */
  async stop(version: ModelVersion): Promise<void> {
    const { app, number } = version;
    for (const queued of [false, true]) {
      const trial = await this.#changes.trial(app, queued);
      if (trial?.number === number) await this.#changes.endTrial(trial);
    }
    await this.#startQueued(app);
  }

  async #start(version: ModelVersion, champion: number, policy: Uint8Array, why?: string): Promise<void> {
    const { stage, waiting } = firstStage(policyOf({ policy }));
    if (stage === "champion") return this.#promote(version, policy, {});
    await this.#enter(version, { champion, policy, stage, waiting }, [why ?? wordsOf(stage, policy)], {});
  }

  /** The next stage, or the end of the way. */
  async #step(trial: TrialRow, { evidence, figures }: Pick<StageVerdict, "evidence" | "figures">): Promise<void> {
    const version = await this.#version(trial);
    if (trial.stage === "probation") {
      await this.#probation.end(trial, version, `Its probation is over. ${evidence.join(" ")}`, figures);
      await this.#startQueued(trial.app);
      return;
    }
    const next = stageAfter(policyOf(trial), trial.stage as Stage);
    if (next !== "champion") {
      await this.#enter(
        version,
        { ...trial, stage: next, waiting: false },
        [...evidence, wordsOf(next, trial.policy)],
        figures,
      );
      return;
    }
    await this.#changes.endTrial(trial);
    await this.#promote(version, trial.policy, figures, evidence);
  }

  async #promote(
    version: ModelVersion,
    policy: Uint8Array,
    figures: Change["figures"],
    evidence: readonly string[] = [],
  ): Promise<void> {
    const reason = evidence.length === 0 ? this.#change.why : evidence.join(" ");
    const current = await this.#changes.deployment(version.app);
    const next = promote(current, version, { sinceMs: this.#change.eventTimeMs, reason });
    await this.apply(next, { ...this.#change, why: reason, figures: figures ?? {} });
    const champion = inState(version, ModelState.CHAMPION);
    await this.send("promoted", champion, reason);
    await this.afterSwitch(champion, policy);
  }

  /** Writes who serves, and the states that change with it. */
  async apply({ deployment, changed }: Switch, change: Change = this.#change): Promise<void> {
    for (const version of changed) await this.#changes.setState(version, change);
    await this.#changes.setDeployment(deployment);
  }

  async #enter(
    version: ModelVersion,
    trial: Pick<TrialRow, "champion" | "policy" | "waiting"> & { readonly stage: Stage },
    evidence: readonly string[],
    figures: Change["figures"],
  ): Promise<void> {
    const { champion, policy, stage, waiting } = trial;
    const { app, number } = version;
    await this.#changes.setTrial({ app, number, champion, policy, stage, waiting, sinceMs: this.#change.eventTimeMs });
    const entered = inState(version, STATES[stage]);
    await this.#note(entered, evidence.join(" "), figures);
    await this.send(waiting ? "waiting" : stage, entered, evidence.join(" "));
  }

  async #wait(trial: TrialRow, { evidence, figures }: StageVerdict): Promise<void> {
    await this.#changes.noteLook(trial, { looks: LOOKS, waiting: true, evidence: [...evidence] });
    const version = await this.#version(trial);
    const why = `${evidence.join(" ")} It waits for a person's word.`;
    await this.#note(version, why, figures);
    await this.send("waiting", version, why);
  }

  async #reject(trial: TrialRow, verdict: StageVerdict): Promise<void> {
    const { evidence, figures } = verdict;
    if (trial.stage === "probation") {
      await this.#probation.rollBack(trial, verdict);
      await this.#startQueued(trial.app);
      return;
    }
    await this.#changes.endTrial(trial);
    const version = inState(await this.#version(trial), ModelState.REJECTED);
    await this.#note(version, evidence.join(" "), figures);
    await this.send("rejected", version, evidence.join(" "));
    await this.#startQueued(trial.app);
  }

  async #retire(trial: TrialRow, why: string): Promise<void> {
    await this.#changes.endTrial(trial);
    const version = inState(await this.#version(trial), ModelState.RETIRED);
    await this.#note(version, why);
    await this.send("retired", version, why);
  }

  /** Lets the one that waits begin, unless another is on its way. */
  async #startQueued(app: string): Promise<void> {
    const queued = await this.#changes.trial(app, true);
    if (queued === undefined || (await this.#changes.trial(app)) !== undefined) return;
    const champion = (await this.#changes.deployment(app))?.champion?.number;
    if (champion !== queued.champion) return this.#retire(queued, outdated(queued));
    await this.#start(await this.#version(queued), queued.champion, queued.policy);
  }

  #note(version: ModelVersion, why: string, figures: Change["figures"] = {}): Promise<void> {
    return this.#changes.setState(version, { ...this.#change, why, figures: figures ?? {} });
  }

  async send(what: string, model: ModelVersion, reason: string, rolledBack?: RolledBack): Promise<void> {
    const { eventTimeMs, nowMs } = this.#change;
    const id = `${nameOf(model)}/${what}/${nowMs}`;
    const { app, jobId } = model;
    const occurredAt = timestampFromMs(eventTimeMs);
    await this.#changes.sendEvent(
      create(ModelEventSchema, { id, app, what, model, reason, jobId, occurredAt, ...rolledBack }),
      this.#traceparent,
    );
  }

  async #version({ app, number }: TrialRow): Promise<ModelVersion> {
    const version = await this.#changes.model(app, number);
    if (version === undefined)
      throw new MillraceError("internal", `The version ${app}/${number} on its way is not there`);
    return version;
  }
}

const STATES: Readonly<Record<Stage, ModelState>> = {
  candidate: ModelState.CANDIDATE,
  shadow: ModelState.SHADOW,
  canary: ModelState.CANARY,
  probation: ModelState.CHAMPION,
};

const outdated = ({ app, champion }: TrialRow): string =>
  `The champion that it was compared with, ${app}/${champion}, no longer serves; the next training is compared with the one that does.`;

function wordsOf(stage: Stage, policyBytes: Uint8Array): string {
  const { shadow, canary } = policyOf({ policy: policyBytes });
  if (stage === "shadow") return `It is asked beside the champion for ${shadow?.predictions} predictions.`;
  if (stage === "canary")
    return `It answers for ${canary?.percent} % of the entities until ${canary?.outcomes} outcomes are known.`;
  return "It passed its gates, and waits for a person's word.";
}

const onItsWay = (version: ModelVersion): MillraceError =>
  new MillraceError(
    "failed_precondition",
    `${nameOf(version)} is on its way to champion already; advance it to let it take its next step`,
  );
