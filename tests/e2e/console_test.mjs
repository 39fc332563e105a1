// The console in a real Chromium, over a finished scan: every screen, by mouse and by keys, wide and
// narrow, light and dark, with what attackers write in every field; nothing of elsewhere is asked for.
import { before, test } from "node:test";
import assert from "node:assert/strict";
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as b from "./browser.mjs";
import { ask, close, EVIL, patience, unharmed, violations } from "./browser.mjs";

let base;

before(async () => {
  const out = join(b.dir, "out");
  // Another provider saw the same and said so: what it shared, imported and graded, tells the scan.
  const [first, kept, bundle, told] = ["first", "kept", "bundle.json", "told.json"].map((f) => join(b.dir, f));
  mkdirSync(kept);
  b.scan(first);
  b.run("share", "export", "--out-of", first, "--audience", "provider", "--issuer", "North", "--alone", "a test", "--to", bundle);
  const said = JSON.parse(readFileSync(bundle, "utf8"));
  for (const [i, o] of said.objects.filter((o) => o.type === "indicator").entries()) if (i % 4) o.valid_until = "2099-01-01T00:00:00Z";
  const { id: of, created, modified, created_by_ref, object_marking_refs } = said.objects.find((o) => o.type === "indicator");
  said.objects.push({ type: "sighting", spec_version: "2.1", id: "sighting--00000000-0000-4000-8000-000000000001", created, modified, created_by_ref, object_marking_refs, sighting_of_ref: of, count: 1200, first_seen: "2026-05-01T00:00:00Z", last_seen: "2026-05-02T00:00:00Z" });
  writeFileSync(bundle, JSON.stringify(said));
  for (const source of ["north", EVIL]) b.run("share", "import", bundle, "--source", source, "--data", kept);
  b.run("share", "sources", "north", "--reliability", "B", "--note", EVIL, "--data", kept);
  writeFileSync(told, b.run("share", "imports", "--json", "--data", kept));
  b.scan(out, "--indicators", told);
  cpSync(kept, join(out, "console"), { recursive: true });
  // What comes out of a log may be anything: the findings are given an attacker's words.
  const path = join(out, "campaigns.json");
  const found = JSON.parse(readFileSync(path, "utf8"));
  const last = found.campaigns.at(-1);
  Object.assign(last, { name: EVIL, summary: EVIL, would_change: EVIL, models: { [EVIL]: 1 } });
  for (const e of last.evidence) Object.assign(e, { statement: EVIL, null: EVIL, query: EVIL, exchanges: [EVIL] });
  last.attribution = [{ actor: EVIL, probability: 0.5, basis: EVIL }];
  Object.assign(last, { pools: [{ id: EVIL, accounts: 2 }], templates: [{ id: EVIL, exchanges: 2, hashes: [] }], infrastructure: [{ class: EVIL, asn: 7, organisation: EVIL, addresses: 1, exchanges: 1 }], pivots: [{ ts: last.first_seen, statement: EVIL }] });
  for (const d of last.timeline) d.models = { [EVIL]: d.exchanges };
  // Ids are the log's own: an account may be called anything.
  const rows = readFileSync(join(out, "accounts.csv"), "utf8").split("\n");
  const member = rows.findIndex((r) => r.includes(`,${last.id},`));
  const id = rows[member].split(",")[0];
  for (const [i, row] of rows.entries()) if (row.startsWith(`${id},`)) rows[i] = row.replace(id, `"${EVIL.replaceAll('"', '""')}"`);
  writeFileSync(join(out, "accounts.csv"), rows.join("\n"));
  const why = join(out, "explain.jsonl");
  writeFileSync(why, readFileSync(why, "utf8").replaceAll(JSON.stringify(id), JSON.stringify(EVIL)));
  writeFileSync(path, JSON.stringify(found));
  base = await b.consoleOver(out);
});

const open = (path, how) => b.open(base, path, how);
const campaigns = async () => (await ask(base, "/api/v1/campaigns?limit=100")).rows;

test("every screen loads, passes axe, and fits wide and narrow, light and dark", { timeout: 300_000 * patience }, async () => {
  const [first] = await campaigns();
  const member = (await ask(base, `/api/v1/campaigns/${first.id}/members?limit=1`)).rows[0].account_id;
  const screens = ["/", "/campaigns", `/campaigns/${first.id}`, `/campaigns/${first.id}?tab=members`, `/campaigns/${first.id}?tab=history`, `/campaigns/${first.id}?tab=recompute`, `/accounts/${member}`, "/hunt", "/enforcement", "/directives", "/appeals", "/lists", "/sharing", `/sharing?campaign=${first.id}&values=1`, "/sharing/in", "/sharing/in?status=revoked", "/detector", "/ingest", "/audit", "/settings", "/campaigns/nobody"];
  for (const screen of screens) {
    const page = await open(screen);
    const missing = screen.endsWith("nobody");
    if (missing) await page.waitForSelector("[role=alert]");
    await b.accessible(page, screen.replace(first.id, "id").replace(/\W+/g, "-").replace(/^-/, "") || "overview");
    await close(page, missing || screen === "/ingest" ? /404/ : undefined);
  }
});

test("the queue by keys alone, with a word, its reason, and back", { timeout: 120_000 * patience }, async () => {
  const page = await open("/campaigns");
  const names = (await campaigns()).sort((a, b) => b.exchanges - a.exchanges).map((c) => c.name);
  const chosen = () => page.locator("tr.chosen td:first-child").innerText();
  assert.equal(await chosen(), names[0]);
  await page.keyboard.press("j");
  await page.waitForURL(/row=1/);
  assert.equal(await chosen(), names[1]);
  await page.keyboard.press("k");
  await page.keyboard.press("d");
  const dialog = page.getByRole("dialog");
  await dialog.waitFor();
  assert.deepEqual(await violations(page), []);
  await dialog.getByRole("button", { name: "Dismiss" }).click(); // without a reason nothing is sent
  assert.equal(await dialog.isVisible(), true);
  await dialog.getByLabel("Reason", { exact: true }).selectOption({ index: 1 });
  await dialog.getByLabel("What it was instead").selectOption({ index: 1 });
  await dialog.getByRole("button", { name: "Dismiss" }).click();
  await page.locator("tr.chosen td:last-child", { hasText: "dismissed" }).waitFor();
  await page.getByRole("button", { name: "Undo" }).click();
  await page.getByText("Taken back.").waitFor();
  assert.notEqual((await campaigns()).find((c) => c.name === names[0]).disposition, "dismissed");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: names[0] }).waitFor(); // before that there is nothing to confirm
  await page.keyboard.press("c");
  await page.getByLabel("Reason", { exact: true }).selectOption({ index: 1 });
  await page.getByRole("button", { name: "Confirm", exact: true }).last().click();
  await page.getByText(`${names[0]}: confirmed.`).waitFor();
  // What people said is what the evaluation reads.
  assert.deepEqual(JSON.parse(b.run("evaluate", "--json", "--dispositions", join(b.dir, "out/console"))), await ask(base, "/api/v1/precision"));
  await page.goto(`${base}/audit?action=disposition`);
  await page.getByText("disposition").first().waitFor();
  await close(page);
});

test("of two people who judge one campaign, the second is told", { timeout: 60_000 * patience }, async () => {
  const one = (await campaigns()).find((c) => c.disposition_revision === 0);
  const page = await open(`/campaigns/${one.id}`);
  await ask(base, `/api/v1/campaigns/${one.id}/disposition`, { expected: 0, value: "unsure", reason: (await ask(base, "/api/v1/codes")).reasons[0] });
  await page.keyboard.press("c");
  await page.getByLabel("Reason", { exact: true }).selectOption({ index: 1 });
  await page.getByRole("dialog").getByRole("button", { name: "Confirm" }).click();
  await page.getByText("Somebody was first.").waitFor();
  await close(page, /409/);
});

test("an attacker's words stay words", { timeout: 60_000 * patience }, async () => {
  const evil = (await campaigns()).find((c) => c.name === EVIL);
  for (const path of ["/campaigns", `/campaigns/${evil.id}`, `/campaigns/${evil.id}?tab=members`, `/accounts/${encodeURIComponent(EVIL)}`]) {
    const page = await open(path);
    await page.getByText("onerror").first().waitFor();
    await unharmed(page);
    await close(page);
  }
});

test("hunting: answers in pages, refusals in words, queries kept", { timeout: 120_000 * patience }, async () => {
  const page = await open("/hunt");
  const ask = async (sql) => {
    await page.getByLabel("A SELECT over the lake's tables").fill(sql);
    await page.getByLabel("A SELECT over the lake's tables").press("Control+Enter");
  };
  const answer = page.getByRole("region", { name: "Answer" });
  await ask("SELECT exchange_id, account_id FROM exchanges ORDER BY exchange_id LIMIT 120");
  await page.getByText("120 rows").waitFor();
  const first = await answer.locator("tbody tr").first().innerText();
  await page.getByRole("button", { name: "Next" }).click();
  await page.waitForURL(/offset=50/);
  await page.getByText("51 to 100 of 120").waitFor();
  await page.waitForFunction((was) => document.querySelector("tbody tr").innerText !== was, first);
  assert.deepEqual(await violations(page), []);
  await ask("SELECT number FROM numbers(100000000)");
  await page.getByText("more rows than are kept").waitFor();
  for (const [sql, words] of [
    ["SELECT * FROM file('/etc/passwd', 'LineAsString')", "reaches outside the lake"],
    ["DROP TABLE exchanges", "read-only here"],
    ["SELECT * FROM system.tables", "only the lake's own tables"],
    ["SELECT 1 INTO OUTFILE '/tmp/stillwatch-never'", "has no place here"],
    ["SELECT * FROM nowhere", "nowhere"],
  ]) {
    await ask(sql);
    await page.locator(".problem", { hasText: words }).waitFor();
    assert.equal(await page.locator(".problem strong").innerText(), "This was not run.");
  }
  assert.equal(existsSync("/tmp/stillwatch-never"), false);
  // What an attacker wrote stays words in an answer too.
  await ask(`SELECT '${EVIL.replaceAll("'", "\\'")}' AS mail_domain`);
  await answer.getByText("onerror").waitFor();
  await unharmed(page);
  await page.getByRole("button", { name: "Save…" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name").fill("evil domains");
  await dialog.getByRole("button", { name: "Save" }).click();
  await page.getByRole("button", { name: "evil domains", exact: true }).waitFor();
  await page.getByRole("button", { name: "Remove evil domains" }).click();
  await page.getByRole("button", { name: "Undo" }).click();
  await page.getByText("Taken back.").waitFor();
  await page.reload();
  await page.getByRole("button", { name: "evil domains", exact: true }).waitFor();
  await page.goto(`${base}/audit?action=hunt.refused`);
  await page.getByText("hunt.refused").first().waitFor();
  await close(page, /status of 400/);
});

test("an entry of a list: added with a reason, taken back, removed", { timeout: 60_000 * patience }, async () => {
  const page = await open("/lists");
  await page.getByRole("button", { name: "Add an entry" }).click();
  const dialog = page.getByRole("dialog");
  assert.deepEqual(await violations(page), []);
  await dialog.getByLabel("List", { exact: true }).fill("staff");
  await dialog.getByLabel("Which").fill(EVIL);
  await dialog.getByRole("button", { name: "Add" }).click(); // without a reason nothing is sent
  assert.equal(await dialog.isVisible(), true);
  await dialog.getByLabel("Reason").fill("works here");
  await dialog.getByRole("button", { name: "Add" }).click();
  await page.getByRole("button", { name: "Undo" }).click();
  await page.getByText("Taken back.").waitFor();
  const entries = async () => (await ask(base, "/api/v1/lists/staff")).total;
  assert.equal(await entries(), 0);
  await ask(base, "/api/v1/lists/staff", { expected: 2, put: [{ value: `account:${EVIL}`, reason: EVIL }] });
  await page.goto(`${base}/lists?name=staff`);
  await page.getByRole("button", { name: /^Remove account/ }).click();
  await page.getByText("is off staff").waitFor();
  await page.getByRole("button", { name: "Undo" }).click();
  await page.getByText("Taken back.").waitFor();
  assert.equal(await entries(), 1);
  await page.getByText("onerror").first().waitFor();
  await unharmed(page);
  await close(page);
});

test("what others shared: graded with a word and back, revoked, and shown where it matters", { timeout: 120_000 * patience }, async () => {
  const page = await open("/sharing/in");
  const sources = page.getByRole("region", { name: "Sources" });
  const indicators = page.getByRole("region", { name: "Indicators" });
  const north = async () => (await ask(base, "/api/v1/sharing/sources")).rows.find((s) => s.name === "north");
  await sources.getByText("usually reliable").waitFor();
  await sources.getByText("onerror").first().waitFor();
  await unharmed(page);
  await page.getByRole("button", { name: "Grade north" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Reliability").selectOption("D");
  await dialog.getByRole("button", { name: "Grade it" }).click(); // without a word why nothing is sent
  assert.equal((await north()).reliability, "B");
  assert.deepEqual(await violations(page), []);
  await dialog.getByLabel("Why").fill("often wrong");
  await dialog.getByRole("button", { name: "Grade it" }).click();
  await sources.getByText("not usually reliable").waitFor();
  await page.locator("h1").click();
  await page.keyboard.press("z");
  await page.getByText("Taken back.").waitFor();
  assert.deepEqual(await north().then((s) => [s.reliability, s.note]), ["B", EVIL]);
  const seen = page.getByRole("region", { name: "Sightings" });
  await seen.getByText("1,200").first().waitFor();
  await unharmed(page);
  // Filtered and paged by the service, and the address says how.
  const all = await ask(base, "/api/v1/sharing/imports?source=north&status=active");
  await page.getByRole("combobox", { name: "Source", exact: true }).selectOption("north");
  await page.getByRole("combobox", { name: "Status", exact: true }).selectOption("active");
  await page.waitForURL(/status=active/);
  await page.waitForFunction((n) => document.querySelectorAll("[aria-label=Indicators] tbody tr").length === n, Math.min(50, all.total));
  const one = all.rows.find((i) => i.hits > 0);
  await page.getByRole("button", { name: `Revoke ${one.id}` }).click();
  await dialog.getByText("It is for good").waitFor();
  await dialog.getByRole("button", { name: "Revoke", exact: true }).click();
  await page.getByText("1 indicator of north revoked.").waitFor();
  await page.waitForFunction((n) => document.querySelectorAll("[aria-label=Indicators] tbody tr").length === n, Math.min(50, all.total - 1));
  await page.getByRole("combobox", { name: "Status", exact: true }).selectOption("revoked");
  await indicators.getByText("revoked", { exact: true }).first().waitFor();
  // Whoever judges a campaign sees who told of it; what they said of it then counts for the source.
  let told;
  for (const c of await campaigns()) if ((await ask(base, `/api/v1/campaigns/${c.id}`)).finding.imports?.some((i) => i.origin === "north")) told ??= c;
  await page.goto(`${base}/campaigns/${told.id}`);
  const origins = page.getByRole("region", { name: "Imports that match" });
  await origins.getByText("template sketch").first().waitFor();
  const before = (await north()).wrong;
  await page.keyboard.press("d");
  await dialog.getByLabel("Reason", { exact: true }).selectOption({ index: 1 });
  await dialog.getByLabel("What it was instead").selectOption({ index: 1 });
  await dialog.getByRole("button", { name: "Dismiss" }).click();
  await page.getByText(`${told.name}: dismissed.`).waitFor();
  assert.equal((await north()).wrong, before + 1);
  await origins.getByRole("link", { name: "north" }).first().click();
  await page.waitForURL(/sharing\/in\?source=north/);
  await sources.getByText(`of ${before + 1 + (await north()).right}`).first().waitFor();
  await page.goto(`${base}/audit?action=share.`);
  for (const action of ["share.grade", "share.revoke"]) await page.getByText(action).first().waitFor();
  await close(page);
});

test("filters, order and page live in the address", { timeout: 60_000 * patience }, async () => {
  const page = await open("/campaigns?verdict=distillation&sort=accounts&order=asc");
  const rows = (await campaigns()).filter((c) => c.verdict === "distillation").sort((a, b) => a.accounts - b.accounts);
  assert.equal(await page.locator("tbody tr").count(), rows.length);
  await page.getByRole("button", { name: "Exchanges" }).click();
  await page.waitForURL(/sort=exchanges/);
  await page.goBack();
  await page.waitForURL(/sort=accounts/);
  await close(page);
});

test("what is sent at first is small", async () => {
  const page = await (await fetch(base)).text();
  let bytes = 0;
  for (const [, path] of page.matchAll(/(?:src|href)="(\/[^"]+\.(?:js|css))"/g)) {
    const answer = await fetch(base + path, { headers: { "accept-encoding": "gzip" } });
    assert.equal(answer.headers.get("content-encoding"), "gzip");
    bytes += Number(answer.headers.get("content-length"));
  }
  assert.ok(bytes > 10_000 && bytes < 300_000, `${bytes} bytes`);
});
