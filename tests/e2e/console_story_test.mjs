// The whole story in a real Chromium, over a running service: log in, queue, campaign, network, propose, a
// second person approves, the decision changes, an appeal, overturned, and the audit log shows it
// all; tokens that end or lack a right; a lake that is down.
import { test } from "node:test";
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as b from "./browser.mjs";
import { accessible, api, close, enter, patience, sample, serve, token, unharmed, until } from "./browser.mjs";

const DAY = 86_400_000;

// A person at a browser of their own.
async function person(base, secret) {
  const page = await b.open(base);
  if (secret) await enter(page, secret);
  return page;
}

const POLICY = `version: 1
name: refuse who is accused
lockout_share_max: 0.9
approval_above: 1
rules:
  - {id: accused, match: {verdict: distillation}, action: deny, enforce: true}
directives:
  - {id: order-7, basis: "an order that nobody meets here", models: [atlas-nowhere], effective_from: 2026-01-01T00:00:00Z, require: {citizenship: [US]}, unknown: verify, enforce: true}
permits:
  - {id: lab, org_id: org_lab, models: [atlas-4], exchanges_max: 1000, valid_until: 2099-01-01T00:00:00Z}
`;

test("from the log to the overturned appeal", { timeout: 600_000 * patience }, async () => {
  const [ada, bob, feeder, gateway] = [["ada", "analyst"], ["bob", "analyst", "approver"], ["feeder", "ingest"], ["gateway", "decide"]].map(([who, ...roles]) => token("data", who, ...roles));
  const base = await serve("data", "passes: {interval_s: 1, window_days: 60}\n");

  // The sample as of now: its last exchange was ten minutes ago.
  const log = spawnSync("zstd", ["-dqc", join(sample, "exchanges.jsonl.zst")], { encoding: "utf8", maxBuffer: 1 << 28 });
  assert.equal(log.status, 0, log.stderr);
  const records = log.stdout.trim().split("\n").map((l) => JSON.parse(l));
  const shift = Date.now() - 600_000 - Math.max(...records.map((r) => Date.parse(r.ts)));
  const later = (ts) => new Date(Date.parse(ts) + shift).toISOString();
  const accounts = readFileSync(join(sample, "accounts.jsonl"), "utf8").trim().split("\n").map((l) => JSON.parse(l));
  const lines = (rows) => rows.map((r) => JSON.stringify(r)).join("\n") + "\n";
  assert.equal((await api(base, feeder, "POST", "/v1/accounts", lines(accounts.map((a) => ({ ...a, created_at: later(a.created_at) }))), "application/x-ndjson")).status, 200);
  const bad = '{"exchange_id": "<img src=x onerror=alert(1)>", "ts": "yesterday", "account_id": "a"}\n';
  const half = records.length >> 1;
  for (const part of [records.slice(0, half), records.slice(half)]) assert.equal((await api(base, feeder, "POST", "/v1/exchanges", lines(part.map((r) => ({ ...r, ts: later(r.ts) }))) + bad, "application/x-ndjson")).status, 200);
  const open = async () => {
    const { body } = await api(base, ada, "GET", "/api/v1/campaigns?verdict=distillation&sort=exchanges");
    const found = body.rows?.[0];
    const whole = found && (await api(base, ada, "GET", `/api/v1/campaigns/${found.id}`)).body;
    return whole?.finding?.open && whole;
  };
  const campaign = await until(open, "a campaign that may be acted upon");
  const members = (await api(base, ada, "GET", `/api/v1/campaigns/${campaign.id}/members?limit=500`)).body.rows;
  const accused = members.find((m) => m.verdict === "distillation").account_id;
  const decide = async (account) => (await api(base, gateway, "POST", "/v1/decide", { account_id: account, model: "atlas-4" })).body;
  assert.equal((await decide(accused)).action, "allow");

  // A wrong token, one without the right, then her own.
  const one = await person(base);
  await enter(one, "stw_wrong");
  await one.getByText("Your token is not known, or has expired.").waitFor();
  await enter(one, gateway);
  await one.getByText("Your token does not have the role for this.").waitFor();
  await enter(one, ada);
  await one.getByRole("heading", { name: "Overview" }).waitFor();
  await accessible(one, "story-overview");

  // Queue and campaign, by keys; said with a reason.
  await one.keyboard.press("2");
  await one.locator("tr.chosen").waitFor();
  await one.goto(`${base}/campaigns/${campaign.id}`);
  await one.getByRole("heading", { name: campaign.name }).waitFor();
  await accessible(one, "story-campaign");
  // Its network: what the accused share, found by name, looked at from near.
  await one.getByRole("link", { name: "Network" }).click();
  await one.getByRole("heading", { name: `Network of ${campaign.name}` }).waitFor();
  await one.getByText(/\d+ accounts, \d+ values and templates that they share/).waitFor();
  await one.locator("h1").click();
  await one.keyboard.press("/");
  await one.keyboard.type(accused);
  await one.keyboard.press("Enter");
  await one.getByRole("region", { name: "Elements of the network" }).getByRole("button", { name: accused }).click();
  await one.locator("aside").getByRole("heading", { name: accused }).waitFor();
  await accessible(one, "story-graph");
  await one.locator("h1").click();
  await one.getByRole("link", { name: "The campaign" }).click();
  await one.getByRole("heading", { name: campaign.name, exact: true }).waitFor();
  await one.keyboard.press("c");
  await one.getByLabel("Reason", { exact: true }).selectOption({ index: 1 });
  await one.getByRole("dialog").getByRole("button", { name: "Confirm" }).click();
  await one.getByText(`${campaign.name}: confirmed.`).waitFor();

  // Proposed only after it was tried; then it waits for somebody else.
  await one.goto(`${base}/enforcement`);
  await one.getByRole("button", { name: "Propose" }).click();
  await one.getByLabel("Policy (YAML)").fill(POLICY.replace("action: deny", "action: shout"));
  await one.getByLabel("Why").fill("it harvests");
  await one.getByRole("button", { name: "Try it" }).click();
  await one.getByText(/shout/).last().waitFor();
  await one.getByLabel("Policy (YAML)").fill(POLICY);
  await one.getByRole("button", { name: "Try it" }).click();
  await one.getByText("another person has to approve").waitFor();
  const touched = Number(await one.getByText("It would have touched").locator("b").innerText());
  assert.ok(touched >= 2, `${touched} accounts`);
  await accessible(one, "story-propose");
  await one.getByRole("button", { name: `Propose it: ${touched} accounts` }).click();
  await one.getByText("waits for a second person").waitFor();
  assert.equal(await one.getByRole("button", { name: "Approve" }).count(), 0, "who proposed does not approve");

  const two = await person(base, bob);
  await two.getByRole("heading", { name: "Overview" }).waitFor();
  await two.keyboard.press("4");
  await two.getByRole("button", { name: "Approve" }).click();
  await two.getByRole("dialog").getByLabel("Why").fill("looked at it");
  await two.getByRole("dialog").getByRole("button", { name: "approve" }).click();
  await two.getByRole("button", { name: "Activate" }).waitFor();
  await two.getByRole("button", { name: "Activate" }).click();
  await two.getByRole("dialog").getByLabel("Why").fill("in force");
  // The other one is quicker: the second is told, and nothing is done twice.
  const version = (await api(base, ada, "GET", "/api/v1/policies")).body.rows[0].version;
  assert.equal((await api(base, ada, "POST", `/api/v1/policies/${version}/activate`, { expected_active: 0, note: "first" })).status, 200);
  await two.getByRole("dialog").getByRole("button", { name: "activate" }).click();
  await two.getByText("Somebody was first.").waitFor();
  await two.getByRole("button", { name: "Cancel" }).click();

  // The decision changes, the customer appeals, access is back.
  const denied = await until(async () => ((await decide(accused)).action === "deny" ? decide(accused) : undefined), "the decision to change");
  await two.goto(`${base}/appeals`);
  await two.getByRole("button", { name: "Open one" }).click();
  await two.getByLabel("Reference").fill(denied.appeal_ref.toLowerCase());
  await two.getByLabel("What they say").fill("<script>document.title='owned'</script> we are a school");
  await two.getByRole("button", { name: "Open it" }).click();
  await two.getByText("we are a school").waitFor();
  await two.getByRole("button", { name: "Overturn" }).click();
  await two.getByRole("dialog").getByLabel("Reason").fill("term papers");
  await two.getByRole("button", { name: "Restore access" }).click();
  await two.getByText("access is restored").waitFor();
  await until(async () => (await decide(accused)).action === "allow", "access to be back");
  await accessible(two, "story-appeals");

  // What would leave is read first; another person approves; the file is the one that was approved.
  await one.goto(`${base}/sharing?campaign=${campaign.id}&audience=provider`);
  await one.getByRole("region", { name: "What leaves" }).waitFor();
  await one.getByText("Every value, as it leaves").click();
  await accessible(one, "story-sharing");
  const leaving = await one.getByRole("region", { name: "Values that leave" }).innerText();
  for (const m of members) assert.ok(!leaving.includes(m.account_id), "no account's own id is among what leaves");
  await one.getByRole("button", { name: "Propose to share this" }).click();
  await one.getByLabel("As whom").fill("Acme");
  await one.getByLabel("Why").fill("they asked");
  await one.getByRole("button", { name: "Propose it" }).click();
  await one.getByText("waits for a second person").waitFor();
  await two.goto(`${base}/sharing`);
  await two.getByRole("button", { name: "Approve" }).click();
  await two.getByRole("button", { name: "Approve it" }).click();
  await two.getByRole("button", { name: "Download" }).waitFor();
  const [file] = await Promise.all([two.waitForEvent("download"), two.getByRole("button", { name: "Download" }).click()]);
  const bundle = readFileSync(await file.path(), "utf8");
  assert.equal(JSON.parse(bundle).type, "bundle");
  for (const m of members) assert.ok(!bundle.includes(m.account_id));
  // Taken back: a second bundle says that nothing of the first holds, by two persons as well.
  await one.goto(`${base}/sharing`);
  await one.getByRole("button", { name: "Take back" }).click();
  await one.getByLabel("Why").fill("they were customers");
  await one.getByRole("button", { name: "Propose it" }).click();
  await one.getByText("waits for a second person").waitFor();
  await accessible(one, "story-taken-back");
  await two.reload();
  await two.getByRole("button", { name: "Approve" }).click();
  await two.getByText("That what was shared before no longer holds").waitFor();
  await two.getByRole("button", { name: "Approve it" }).click();
  const newest = two.getByRole("row", { name: /revocation of export/ });
  const [gone] = await Promise.all([two.waitForEvent("download"), newest.getByRole("button", { name: "Download" }).click()]);
  const indicators = JSON.parse(readFileSync(await gone.path(), "utf8")).objects.filter((o) => o.type === "indicator");
  assert.ok(indicators.length > 0 && indicators.every((o) => o.revoked));

  // A person's word closes it: with the next pass it accuses nobody, and the page says why.
  const other = members.find((m) => m.verdict === "distillation" && m.account_id !== accused).account_id;
  assert.equal((await decide(other)).action, "deny");
  await two.goto(`${base}/campaigns/${campaign.id}`);
  await two.getByRole("heading", { name: campaign.name }).waitFor();
  await two.keyboard.press("d");
  await two.getByLabel("Reason", { exact: true }).selectOption({ index: 1 });
  await two.getByLabel("What it was instead").selectOption({ index: 1 });
  await two.getByRole("dialog").getByRole("button", { name: "Dismiss" }).click();
  await two.getByText(`${campaign.name}: dismissed.`).waitFor();
  await until(async () => (await decide(other)).action === "allow", "what was dismissed to accuse nobody");
  await two.reload();
  await two.getByText("neither told nor acted upon").waitFor();
  const leaves = await api(base, ada, "GET", `/api/v1/sharing/preview?campaign=${campaign.id}&audience=provider`);
  assert.match(leaves.body.error?.message ?? JSON.stringify(leaves.body), /it was dismissed/);
  await accessible(two, "story-dismissed");
  const seen = (await api(base, bob, "GET", `/api/v1/campaigns/${campaign.id}`)).body;
  const back = { expected: seen.disposition_revision, value: "confirmed", reason: "evidence-checked" };
  assert.equal((await api(base, bob, "POST", `/api/v1/campaigns/${campaign.id}/disposition`, back)).status, 200);
  assert.equal((await api(base, ada, "POST", `/api/v1/campaigns/${campaign.id}/disposition`, back)).status, 409, "two people, one campaign");
  await until(async () => (await decide(other)).action === "deny", "what is confirmed again to be acted upon");

  await two.goto(`${base}/directives`);
  await two.getByText("order-7").first().waitFor();
  await two.getByText("asked to verify").waitFor();
  await two.getByRole("button", { name: "Try on the last day" }).click();
  await two.getByText("It would have touched").waitFor();
  await accessible(two, "story-directives");

  await two.goto(`${base}/detector`);
  await two.getByText("Shadow against live").waitFor();
  await two.getByRole("region", { name: "Decisions" }).waitFor();
  await two.getByRole("img", { name: /Stated against found/ }).waitFor();
  await accessible(two, "story-detector");

  await two.goto(`${base}/ingest`);
  await two.getByText("ts: not RFC").first().waitFor();
  await two.getByText("feeder").first().waitFor();
  await accessible(two, "story-ingest");
  await unharmed(two);

  // All of it is in the log, and the log holds.
  await two.goto(`${base}/audit`);
  await two.getByRole("button", { name: "Verify" }).click();
  await two.getByText("none changed, removed or added").waitFor();
  const actions = (await api(base, ada, "GET", "/api/v1/audit?limit=500")).body.records.map((r) => `${r.actor} ${r.action}`);
  for (const wanted of ["ada disposition.set", "ada policy.propose", "bob policy.approve", "ada policy.activate", "bob appeal.open", "bob appeal.overturn", "ada share.propose", "bob share.approve", "bob share.download"]) assert.ok(actions.includes(wanted), `${wanted} in ${[...new Set(actions)]}`);
  assert.ok(actions.some((a) => a.endsWith("decision.deny")));
  await accessible(two, "story-audit");

  // A token that ends in the middle of the work: another is asked for, and the place is kept.
  await one.goto(`${base}/enforcement`);
  await one.getByRole("button", { name: "Roll back" }).waitFor();
  const id = b.run("token", "list", "--data", join(b.dir, "data")).split("\n").find((l) => /\bada\b/.test(l)).trim().split(/\s+/)[0];
  b.run("token", "revoke", id, "--data", join(b.dir, "data"));
  await until(async () => (await api(base, ada, "GET", "/api/v1/me")).status === 401, "the token to end");
  await one.keyboard.press("6"); // unless the page has asked again by itself already
  await one.getByText("Your token is not known, or has expired.").waitFor();
  await accessible(one, "story-expired");
  await enter(one, bob);
  await one.getByRole("heading", { name: /^(Appeals|Enforcement)$/ }).waitFor();

  for (const page of [one, two]) await close(page, /status of (401|403|409)/);
});

test("a lake that is down", { timeout: 120_000 * patience }, async () => {
  const base = await serve("down", "lake: 'clickhouse://default@127.0.0.1:1/stillwatch?wait=1'\npasses: {enabled: false}\n");
  const page = await person(base);
  await page.getByRole("heading", { name: "Overview" }).waitFor();
  await page.goto(`${base}/hunt`);
  await page.getByRole("button", { name: /^Run/ }).click();
  await page.getByText("The lake does not answer at the moment").first().waitFor();
  await accessible(page, "story-hunt-down");
  // What comes in is acknowledged all the same, and the page says where it is.
  const sent = await fetch(`${base}/v1/exchanges`, { method: "POST", headers: { "content-type": "application/x-ndjson" }, body: `{"exchange_id":"x","ts":"${new Date(Date.now() - DAY).toISOString()}","account_id":"a"}\n` });
  assert.equal(sent.status, 200, await sent.text());
  await page.goto(`${base}/ingest`);
  await page.getByText("The lake is not open").waitFor();
  await page.getByText("/v1/exchanges").first().waitFor();
  await accessible(page, "story-ingest-down");
  await close(page, /status of 503/);
});
