import type { Measurement } from "./judgement.ts";
import { PREDICTION } from "./watchedModel.ts";

/** The fields of events that each input is made from. */
export type Sources = ReadonlyMap<string, readonly string[]>;

/** What changed for one reason. */
export interface Group {
  /** Fields of events that would explain all of it; empty where nothing is known. */
  readonly causes: readonly string[];
  readonly members: readonly Measurement[];
}

/** A field explains what went wrong only if so many of the inputs made from it did. */
const SHARE_OF_DEPENDENTS = 0.5;

/**
 * Parts what went wrong by likely cause: the field that explains most of it first, then the next. An input that shares no cause with another is a
 * group of its own. The model's answers follow from its inputs: they go with the most important group.
 *
 * @param watched names of all inputs that were looked at, also of those that are well
 */
export function groupByCause(wrong: readonly Measurement[], watched: readonly string[], sources: Sources): Group[] {
  const groups: Group[] = [];
  let rest = wrong.filter(({ subject }) => subject !== PREDICTION);
  while (rest.length > 0) {
    const subjects = [...new Set(rest.map(({ subject }) => subject))];
    const causes = likelyCauses(subjects, watched, sources);
    const explained = (subject: string): boolean =>
      causes.length === 0 ? subject === subjects[0] : causes.every((cause) => readsField(sources, subject, cause));
    const members = rest.filter(({ subject }) => explained(subject));
    const own = sources.get(subjects[0] as string)?.slice(0, 1) ?? [];
    groups.push({ causes: causes.length === 0 ? own : causes, members });
    rest = rest.filter(({ subject }) => !explained(subject));
  }
  const answers = wrong.filter(({ subject }) => subject === PREDICTION);
  if (answers.length === 0) return groups;
  const first = groups.toSorted((a, b) => importanceOf(b.members) - importanceOf(a.members))[0];
  if (first === undefined) return [{ causes: [], members: answers }];
  return groups.map((group) => (group === first ? { ...group, members: [...group.members, ...answers] } : group));
}

/** The share of the model's worth that some inputs have together. */
export function importanceOf(members: readonly Pick<Measurement, "subject" | "importance">[]): number {
  const bySubject = new Map(members.map(({ subject, importance }) => [subject, importance ?? 0]));
  return [...bySubject.values()].reduce((sum, importance) => sum + importance, 0);
}

/** The fields that explain the most of these inputs, at least two; several when they explain the same. */
function likelyCauses(subjects: readonly string[], watched: readonly string[], sources: Sources): string[] {
  const fields = new Set(subjects.flatMap((subject) => sources.get(subject) ?? []));
  const rated = [...fields].map((field) => {
    const hits = subjects.filter((subject) => readsField(sources, subject, field)).length;
    const all = watched.filter((subject) => readsField(sources, subject, field)).length;
    return { field, hits, share: hits / Math.max(all, hits) };
  });
  const [best, ...others] = rated
    .filter(({ hits, share }) => hits > 1 && share >= SHARE_OF_DEPENDENTS)
    .sort((a, b) => b.hits - a.hits || b.share - a.share);
  if (best === undefined) return [];
  return [best, ...others.filter(({ hits, share }) => hits === best.hits && share === best.share)].map(
    ({ field }) => field,
  );
}

const readsField = (sources: Sources, subject: string, field: string): boolean =>
  sources.get(subject)?.includes(field) ?? false;
