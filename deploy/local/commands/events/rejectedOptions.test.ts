import assert from "node:assert/strict";
import { test } from "node:test";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { count } from "./count.ts";
import { quality } from "./quality.ts";
import { rejected } from "./rejected.ts";
import { readSelection } from "./rejectedOptions.ts";
import { replay } from "./replay.ts";
import { show } from "./show.ts";

const NOW_MS = Date.UTC(2001, 2, 1, 12);

const sinceOf = (since: string): string =>
  timestampDate(readSelection({ since }, NOW_MS).rejectedFrom ?? assert.fail("no time")).toISOString();

test("what is not given restricts nothing", () => {
  assert.deepEqual(readSelection({}, NOW_MS), { app: "", type: "", reason: "" });
  const given = { app: "a", type: "b.c", reason: "too_long" };
  assert.deepEqual(readSelection(given, NOW_MS), given);
});

for (const [given, meant] of [
  ["45s", "2001-03-01T11:59:15.000Z"],
  ["30m", "2001-03-01T11:30:00.000Z"],
  ["12h", "2001-03-01T00:00:00.000Z"],
  ["7d", "2001-02-22T12:00:00.000Z"],
  ["0s", "2001-03-01T12:00:00.000Z"],
  ["2001-02-03T04:05:06.789Z", "2001-02-03T04:05:06.789Z"],
  ["2001-02-03T04:05:06+02:00", "2001-02-03T02:05:06.000Z"],
  // As lists show it: UTC, wherever one is.
  ["2001-02-03 04:05", "2001-02-03T04:05:00.000Z"],
  ["2001-02-03", "2001-02-03T00:00:00.000Z"],
] as const) {
  test(`--since and --until take ${given}`, () => {
    assert.equal(sinceOf(given), meant);
    const { rejectedFrom, rejectedBefore } = readSelection({ since: "2001-02-03", until: given }, NOW_MS);
    assert.deepEqual(
      [rejectedFrom, rejectedBefore].map((time) => time && timestampDate(time).toISOString()),
      ["2001-02-03T00:00:00.000Z", meant],
    );
  });
}

for (const given of [
  "",
  "yesterday",
  // A Date takes these for a month and a year.
  "12",
  "2001",
  "12 h",
  "1.5h",
  "-1h",
  "3w",
  "2001-02-30",
  "2001-02-03T25:00",
  "2001-13-01",
  "12345-01-01",
  "999999999d",
  `${"9".repeat(400)}d`,
]) {
  test(`--since and --until refuse "${given.slice(0, 20)}"`, () => {
    for (const option of ["since", "until"]) {
      assert.throws(() => readSelection({ [option]: given }, NOW_MS), {
        code: "invalid_argument",
        message: new RegExp(
          `^--${option} must be a time such as 2001-02-03T04:00:00Z, or how long ago, such as 12h, from`,
        ),
      });
    }
  });
}

// Nothing is running here: what is wrong with the words is told before anything is asked for.
const REFUSED = [
  [rejected, ["--limit", "0"], /--limit must be a whole number from 1 to 1000, not "0"/],
  [rejected, ["--limit", "1001"], /--limit must be .* not "1001"/],
  [rejected, ["--limit", "ten"], /--limit must be .* not "ten"/],
  [rejected, ["--state", "lost"], /--state must be one of rejected, accepted, duplicate, dropped, not "lost"/],
  [rejected, ["--state", "constructor"], /--state must be one of/],
  [rejected, ["--since", "soon"], /--since must be a time .* not "soon"/],
  [rejected, ["--app"], /--app.* see --help/],
  [rejected, ["--colour"], /Unknown option '--colour'; see --help/],
  [rejected, ["7"], /see --help/],
  [show, [], /events show needs one number/],
  [show, ["1", "2"], /events show needs one number/],
  [show, ["0"], /"0" is no rejected event/],
  [show, ["F27"], /"F27" is no rejected event: .* lists them with their numbers/],
  [show, ["1", "--json", "--bytes"], /either --json or --bytes, not both/],
  [replay, [], /needs either numbers, or options that select .*, or --all/],
  [replay, ["--all", "1"], /needs either numbers/],
  [replay, ["--all", "--app", "a"], /needs either numbers/],
  [replay, ["1", "--until", "12h"], /needs either numbers/],
  [replay, ["one"], /"one" is no rejected event/],
  [replay, ["--until", "soon"], /--until must be a time .* not "soon"/],
  [
    quality,
    ["--app", "a", "--until", "12"],
    /--until must be a time such as 2001-02-03T04:00:00Z from 1970 on, not "12"/,
  ],
  [count, [], /events count needs --app <app>; npm run millrace -- apps lists them/],
  [count, ["--app", "a", "--type", "b"], /Unknown option '--type'/],
] as const;

for (const [command, words, message] of REFUSED) {
  test(`refused: ${[command.name, ...words].join(" ")}`, async () => {
    await assert.rejects(command.run(words), { code: "invalid_argument", message });
  });
}
