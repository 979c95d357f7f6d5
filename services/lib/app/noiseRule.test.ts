import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import type { MillraceError } from "@millrace/runtime";
import { parseApp } from "./parseApp.ts";

const FLIGHTS = readFileSync(new URL("../../../deploy/apps/flight-delays/app.yaml", import.meta.url), "utf8");

const withNoise = (rules: string): string => FLIGHTS.replace("unknown_fields: KEEP", `noise: [${rules}]`);

test("noise rules: a share may be written in percent, and is none by default", () => {
  const { ingestion } = parseApp(
    withNoise(`
      { name: bots, when: "id.startsWith('bot-') || type == 'x'", keep: 10% },
      { name: tests, when: "event.delay < 0.0 && event.occurred_at.getHours() < 3" },
      { name: some, when: "event.distance > 1.0", keep: 0.5 }`),
  );
  const shares = ingestion?.noise.map(({ name, keep }) => [name, keep]);
  assert.deepEqual(shares, Object.entries({ bots: 0.1, tests: 0, some: 0.5 }));
});

const RULE = "ingestion.noise[0]";

/** What is wrong with the rules, as `path reason`, and a part of the message. */
const CASES: Readonly<Record<string, readonly [rules: string, mistakes: readonly string[], message: RegExp]>> = {
  "a name twice": [
    `{ name: a, when: "id == 'x'" }, { name: a, when: "id == 'y'" }`,
    ["ingestion.noise[1].name repeated"],
    /"a" names two rules/,
  ],
  "the name of ingestion.drop": [`{ name: drop, when: "true" }`, [`${RULE}.name reserved_name`], /choose another/],
  "a name that is no name": [`{ name: A b, when: "true" }`, [`${RULE}.name string.pattern`], /A b/],
  "no condition": ["{ name: a }", [`${RULE}.when string.min_len`], /1/],
  "a result that is not true or false": [
    `{ name: a, when: "event.distance" }`,
    [`${RULE}.when wrong_type`],
    /must be bool, not double/,
  ],
  "a field that no event has": [`{ name: a, when: "event.gate == 'B4'" }`, [`${RULE}.when unknown_field`], /distance/],
  "a name that is none of the input's": [
    `{ name: a, when: "app == 'x'" }`,
    [`${RULE}.when unknown_name`],
    /event, type, id/,
  ],
  "a share above all": [`{ name: a, when: "true", keep: 110% }`, [`${RULE}.keep double.gte_lte`], /1\.1/],
  "a share below none": [`{ name: a, when: "true", keep: -1 }`, [`${RULE}.keep double.gte_lte`], /-1/],
  "a share that is no number": [`{ name: a, when: "true", keep: few }`, [`${RULE}.keep wrong_type`], /20%/],
};

for (const [name, [rules, mistakes, message]] of Object.entries(CASES)) {
  test(`a noise rule is refused: ${name}`, () => {
    assert.throws(
      () => parseApp(withNoise(rules)),
      (error: MillraceError) => {
        assert.deepEqual(
          error.violations.map(({ field, reason }) => `${field} ${reason}`),
          mistakes,
        );
        assert.match(error.message, message);
        return true;
      },
    );
  });
}
