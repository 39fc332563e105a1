// What the tests in a real Chromium share: folders, the program, its services, pages that watch
// themselves, axe and screenshots. All that was started ends with the tests.
import { after } from "node:test";
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRequire } from "node:module";

export const root = new URL("../..", import.meta.url).pathname;
export const binary = process.env.STILLWATCH ?? join(root, "build/stillwatch");
export const patience = Number(process.env.STILLWATCH_PATIENCE ?? 1);
export const sample = join(root, "tests/data/sample");
export const EVIL = `<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>`;

const need = createRequire(join(root, "console/package.json"));
const { chromium } = need("playwright-core");
const axe = readFileSync(need.resolve("axe-core/axe.min.js"), "utf8");
const shots = process.env.STILLWATCH_SHOTS; // a folder for screenshots
const children = [];

const installed = [process.env.CHROMIUM, "/usr/bin/chromium"].find((p) => p && existsSync(p));
assert.ok(installed, "Chromium is not installed: tools/setup test");
export const browser = await chromium.launch({ executablePath: installed, args: ["--no-sandbox"] });
export const dir = mkdtempSync(join(tmpdir(), "stillwatch-test-"));
after(async () => {
  await browser.close();
  for (const child of children) await end(child);
});
// Also where a test file fails before it has a test.
process.on("exit", () => rmSync(dir, { recursive: true, force: true }));

export function start(args, ...stdio) {
  const child = spawn(binary, args, { stdio: ["ignore", ...stdio] });
  children.push(child);
  return child;
}
export async function end(child) {
  child.kill("SIGTERM");
  if (child.exitCode === null && child.signalCode === null) await new Promise((gone) => child.once("exit", gone));
}
// Runs the program to its end; gives what it printed.
export function run(...args) {
  const done = spawnSync(binary, args, { encoding: "utf8", maxBuffer: 1 << 28 });
  assert.equal(done.status, 0, `${args.join(" ")}: ${done.error ?? done.stderr}`);
  return done.stdout.trim();
}
export const scan = (out, ...more) => run("scan", "--quiet", "--accounts", join(sample, "accounts.jsonl"), "--permits", join(sample, "permits.yaml"), ...more, "--out", out, join(sample, "exchanges.jsonl.zst"));

// Waits for a condition, not for a time; `still` tells whether it can come about at all.
export async function until(ask, what, still = () => true) {
  const last = Date.now() + 120_000 * patience;
  for (;;) {
    const got = await ask();
    if (got) return got;
    assert.ok(still() && Date.now() < last, `waited for ${what}`);
    await new Promise((next) => setTimeout(next, 100));
  }
}

// The console over a finished scan; gives its address.
export async function consoleOver(out) {
  const child = start(["console", out, "--port", "0"], "pipe", "inherit");
  return new Promise((give, fail) => {
    child.stdout.once("data", (d) => give(String(d).trim().replace(/\/$/, "")));
    child.once("exit", (code) => fail(new Error(`the console ended with ${code}`)));
  });
}
// A service, its data in dir/NAME; gives its address.
export async function serve(name, config) {
  const path = join(dir, `${name}.yaml`);
  writeFileSync(path, `data: ${join(dir, name)}\nlisten: {port: 0}\notlp: {http: {enabled: false}, grpc: {enabled: false}}\next_authz: {enabled: false}\n${config}`);
  const log = join(dir, `${name}.log`);
  const fd = openSync(log, "w");
  const child = start(["serve", "--config", path], fd, fd);
  const said = await until(() => readFileSync(log, "utf8").split("\n").find((l) => l.includes('"serving"') && l.endsWith("}")), `${name} to start`, () => child.exitCode === null);
  return `http://127.0.0.1:${JSON.parse(said).port}`;
}
export function token(name, person, ...roles) {
  mkdirSync(join(dir, name), { recursive: true });
  return run("token", "create", person, "--data", join(dir, name), ...roles.flatMap((r) => ["--role", r]));
}
export async function api(base, token, method, path, body, type = "application/json") {
  const headers = { ...(token && { authorization: `Bearer ${token}` }), ...(body !== undefined && { "content-type": type }) };
  const answer = await fetch(base + path, { method, headers, body: body === undefined || typeof body === "string" ? body : JSON.stringify(body) });
  const text = await answer.text();
  return { status: answer.status, body: text.startsWith("{") ? JSON.parse(text) : text };
}
// Asks without a token what must be there.
export async function ask(base, path, body) {
  const answer = await api(base, "", body === undefined ? "GET" : "POST", path, body);
  assert.equal(answer.status, 200, `${path}: ${JSON.stringify(answer.body)}`);
  return answer.body;
}

// A page of its own context, for what is at `base`. It notes in `wrong` each error, refused resource and request to another host.
export async function blank(base, { width = 1280, dark = false, ...more } = {}) {
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme: dark ? "dark" : "light", ...more });
  const page = await context.newPage();
  page.setDefaultTimeout(60_000 * patience);
  page.wrong = [];
  page.on("pageerror", (e) => page.wrong.push(String(e)));
  page.on("console", (m) => m.type() === "error" && page.wrong.push(m.text()));
  page.on("request", (r) => !r.url().startsWith(`${base}/`) && page.wrong.push(`asked ${r.url()}`));
  return page;
}
export async function open(base, path = "/", how) {
  const page = await blank(base, how);
  await page.goto(base + path);
  await settled(page);
  return page;
}
export async function settled(page) {
  await page.waitForSelector("h1");
  await page.waitForFunction(() => !document.querySelector("[aria-busy=true]"));
}
// `allowed`: what a refusal that the test asked for leaves in the browser's log.
export async function close(page, allowed) {
  assert.deepEqual(page.wrong.filter((w) => !allowed?.test(w)), []);
  await page.context().close();
}
export async function enter(page, secret) {
  await page.getByLabel("Token").fill(secret);
  await page.getByRole("button", { name: "Enter" }).click();
}

// Levels A and AA; the page's policy forbids axe's code to the page, not to the test.
export async function violations(page) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] }));
  return violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html.slice(0, 120)).join(" | ")}`);
}
// What is shown passes axe and fits, wide and narrow, light and dark; a picture of each is kept.
export async function accessible(page, name) {
  await settled(page);
  for (const [width, scheme] of [[1280, "light"], [1280, "dark"], [390, "light"], [390, "dark"]]) {
    await page.setViewportSize({ width, height: 900 });
    await page.emulateMedia({ colorScheme: scheme });
    assert.deepEqual(await violations(page), [], `${name} at ${width}, ${scheme}`);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(wide <= width, `${name} is ${wide} wide at ${width}`);
    await shot(page, `${name}-${width}-${scheme}`);
  }
  await page.setViewportSize({ width: 1280, height: 900 });
  await page.emulateMedia({ colorScheme: "light" });
}
export async function shot(page, name) {
  if (!shots) return;
  mkdirSync(shots, { recursive: true });
  await page.screenshot({ path: join(shots, `${name}.png`), fullPage: true });
}
// Nothing of what an attacker wrote became markup or ran.
export async function unharmed(page) {
  assert.doesNotMatch(await page.title(), /^owned/);
  assert.equal(await page.locator("img[src=x], main script").count(), 0);
}
