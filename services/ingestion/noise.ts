import type { CompiledNoiseRule } from "@millrace/app";
import type { Event } from "@millrace/proto/millrace/event/v1/event_pb.ts";

/** What the app's noise rules say of an event: the rule that decided, and whether it is kept all the same. */
export interface NoiseVerdict {
  readonly rule: string;
  readonly kept: boolean;
}

/** Asks the rules in their order; the first that is about the event decides. Undefined when none is: the event is no noise. */
export function judgeNoise(
  rules: readonly CompiledNoiseRule[],
  event: Event,
  occurredAtMs: number,
): NoiseVerdict | undefined {
  for (const { name, matches, keep } of rules) {
    if (matches(event, occurredAtMs)) return { rule: name, kept: sampleOf(name, event.id) < keep };
  }
  return undefined;
}

/**
 * A number from 0 to 1, 1 excluded, that is always the same for the same rule and id, and evenly spread over ids: FNV-1a
 * (http://www.isthe.com/chongo/tech/comp/fnv/) with the finaliser of MurmurHash3 (https://github.com/aappleby/smhasher). The rule is part
 * of it, so that two rules do not choose the same ones, and partitions, which go by the id alone, stay even.
 */
export function sampleOf(rule: string, id: string): number {
  let hash = 0x811c9dc5;
  for (const text of [rule, "\n", id]) {
    for (let index = 0; index < text.length; index += 1) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}
