import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { FindingLevel, FindingSchema } from "@millrace/proto/millrace/feature/v1/dataset_report_pb.ts";
import { FINDINGS, manifestForTests, reportForTests } from "./reportForTests.ts";
import { reportPage } from "./reportPage.ts";

test("the page shows every kind of finding by its level, with its advice", () => {
  const page = reportPage(manifestForTests(), reportForTests());
  for (const { level, what, advice } of FINDINGS) {
    const name = ["?", "note", "LOOK", "STOP"][level];
    const finding = `<div class="finding level${level}"><p><b>${name}</b> ${what}</p><p class="advice">${advice}</p></div>`;
    assert.ok(page.includes(finding), what);
  }
  assert.match(page, /<p class="verdict level3">Do not train on this: 6 things would mislead the model\.<\/p>/);
});

test("the page has the dataset's facts, a picture of its history and of each column, and the definitions", () => {
  const page = reportPage(manifestForTests(), reportForTests({ live: { columns: [{ name: "price", psi: 0.31 }] } }));
  assert.match(page, /<th>rows<\/th><td>2,000, 2001-01-01 00:00 to 2001-01-01 02:00<\/td>/);
  assert.match(page, /<th>labelled<\/th><td>75\.0 % \(300 may still get one, 200 never did\)<\/td>/);
  assert.match(page, /<title>2001-01-01 01:00: 0\.55<\/title>/);
  assert.equal(page.match(/<svg /g)?.length, 4);
  assert.match(
    page,
    /<th>price<\/th><td><svg .*1 to 4<\/span><\/td>(<td class="number">(25\.0 %|2\.5|5|0\.61|0\.31)<\/td>){5}/,
  );
  assert.match(page, /<th>label<\/th><td><code>event\.returned of order\.closed, joined by order_id<\/code>/);
  assert.doesNotMatch(page, /https?:|<script|<link/, "it needs nothing else");
});

test("whatever texts say, they are text on the page", () => {
  const evil = `<script>alert("x")</script> & '`;
  const escaped = "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt; &amp; '";
  const { columns } = manifestForTests();
  const manifest = manifestForTests({
    app: evil,
    createdBy: evil,
    features: [{ name: evil, text: evil }],
    label: { text: evil },
    columns: [{ ...(columns[0] ?? assert.fail()), name: evil }],
  });
  const finding = create(FindingSchema, { level: FindingLevel.STOP, column: evil, what: evil, advice: evil });
  const page = reportPage(manifest, reportForTests({ verdictText: evil, findings: [finding] }));
  assert.doesNotMatch(page, /<script|alert\("x"\)/);
  // Title and heading; verdict; what and advice; column; the feature's name and text; the label's text; the program.
  assert.equal(page.split(escaped).length - 1, 10);
});

test("a dataset without rows has a page, too", () => {
  const empty = manifestForTests({
    rows: 0n,
    labelledRows: 0n,
    columns: [{ name: "price", mean: Number.NaN, bins: {} }],
    labels: {},
    split: undefined as never,
  });
  const page = reportPage(empty, reportForTests({ findings: [] }));
  assert.match(page, /<p class="verdict level0">/);
  assert.doesNotMatch(page, /NaN|undefined|Infinity/);
});
