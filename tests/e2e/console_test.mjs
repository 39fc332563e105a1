// The console in a real Chromium, over a finished scan: every screen, by mouse and by keys, wide and
// narrow, light and dark, with what attackers write in every field; nothing of elsewhere is asked for.
import { before, test } from "node:test";
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as b from "./browser.mjs";
import { ask, close, EVIL, patience, unharmed, violations } from "./browser.mjs";

let base;

before(async () => {
  const out = join(b.dir, "out");
  b.scan(out);
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
  const screens = ["/", "/campaigns", `/campaigns/${first.id}`, `/campaigns/${first.id}?tab=members`, `/campaigns/${first.id}?tab=history`, `/campaigns/${first.id}?tab=recompute`, `/accounts/${member}`, "/hunt", "/enforcement", "/directives", "/appeals", "/lists", "/sharing", `/sharing?campaign=${first.id}`, "/detector", "/audit", "/settings", "/campaigns/nobody"];
  for (const screen of screens) {
    const page = await open(screen);
    const missing = screen.endsWith("nobody");
    if (missing) await page.waitForSelector("[role=alert]");
    await b.accessible(page, screen.replace(first.id, "id").replace(/\W+/g, "-").replace(/^-/, "") || "overview");
    await close(page, missing ? /404/ : undefined);
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
