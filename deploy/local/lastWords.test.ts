import assert from "node:assert/strict";
import { test } from "node:test";
import { lastWords } from "./lastWords.ts";

test("a service's last fatal line counts, whatever it wrote afterwards", () => {
  const log = `{"level":"fatal","msg":"old"}\n{"level":"fatal","msg":"NATS_URL is not set"}\n{"level":"info","msg":"stopped"}\n`;
  assert.equal(lastWords(log), "NATS_URL is not set");
});

test("an uncaught error is found above its stack", () => {
  assert.equal(
    lastWords(
      "node:internal/x:1\n    throw err;\n\nError [ERR_MODULE_NOT_FOUND]: Cannot find module 'x'\n    at y\n\nNode.js v24\n",
    ),
    "Error [ERR_MODULE_NOT_FOUND]: Cannot find module 'x'",
  );
});

test("the servers' own words are found, and without any the last lines are shown", () => {
  assert.equal(lastWords("x UTC [1] FATAL:  lock file exists\nx UTC [1] HINT:  another?\n"), "lock file exists");
  assert.equal(lastWords("[1] 2026 [FTL] Error listening on port: 4222\n"), "Error listening on port: 4222");
  assert.equal(lastWords("a\nb\nc\nd\n"), "b\nc\nd");
});
