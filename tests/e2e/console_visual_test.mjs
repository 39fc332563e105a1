// Screens against kept pictures of them: not their pixels but their layout (layout.mjs). A test shows
// that other fonts pass and that broken styles do not. STILLWATCH_PICTURES=write makes new pictures.
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRequire } from "node:module";
import { difference, grid } from "./layout.mjs";

const root = new URL("../..", import.meta.url).pathname;
const { chromium } = createRequire(join(root, "console/package.json"))("playwright-core");
const binary = process.env.STILLWATCH ?? join(root, "build/stillwatch");
const patience = Number(process.env.STILLWATCH_PATIENCE ?? 1);
const sample = join(root, "tests/data/sample");
const pictures = join(root, "tests/data/screens");
const LIKE = 0.09; // share of cells that may differ; other fonts make .056, a lost navigation .23

let dir, service, base, browser, blank;

before(async () => {
  const installed = [process.env.CHROMIUM, "/usr/bin/chromium"].find((p) => p && existsSync(p));
  assert.ok(installed, "Chromium is not installed: tools/setup test");
  dir = mkdtempSync(join(tmpdir(), "stillwatch-test-"));
  const out = join(dir, "out");
  const scan = spawnSync(binary, ["scan", "--quiet", "--accounts", join(sample, "accounts.jsonl"), "--permits", join(sample, "permits.yaml"), "--out", out, join(sample, "exchanges.jsonl.zst")], { encoding: "utf8" });
  assert.equal(scan.status, 0, scan.stderr);
  service = spawn(binary, ["console", out, "--port", "0"], { stdio: ["ignore", "pipe", "inherit"] });
  base = await new Promise((give, fail) => {
    service.stdout.once("data", (d) => give(String(d).trim().replace(/\/$/, "")));
    service.once("exit", (code) => fail(new Error(`the console ended with ${code}`)));
  });
  browser = await chromium.launch({ executablePath: installed, args: ["--no-sandbox"] });
  blank = await browser.newPage();
});
after(async () => {
  await browser?.close();
  service?.kill("SIGTERM");
  if (dir) rmSync(dir, { recursive: true, force: true });
});

// The screen as it is, or with more style (which the service's policy would refuse to anybody else).
async function shot(path, dark, style) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, colorScheme: dark ? "dark" : "light", bypassCSP: true, reducedMotion: "reduce" });
  const page = await context.newPage();
  page.setDefaultTimeout(30_000 * patience);
  await page.clock.setFixedTime(new Date("2026-05-07T12:00:00Z"));
  await page.goto(base + path);
  await page.waitForSelector("h1");
  await page.waitForFunction(() => !document.querySelector("[aria-busy=true]"));
  if (style) await page.addStyleTag({ content: style });
  await page.evaluate(() => document.fonts.ready);
  const png = await page.screenshot({ animations: "disabled", caret: "hide" });
  await context.close();
  return png;
}

const first = async () => (await (await fetch(`${base}/api/v1/campaigns?sort=exchanges&limit=1`)).json()).rows[0].id;
const SCREENS = { queue: () => "/campaigns", campaign: async () => `/campaigns/${await first()}`, hunt: () => "/hunt" };

// Kept small: an eighth of the width is more than the comparison sees.
async function small(png) {
  const data = await blank.evaluate(async (data) => {
    const image = await createImageBitmap(await (await fetch(`data:image/png;base64,${data}`)).blob(), { resizeWidth: 160, resizeQuality: "high" });
    const canvas = new OffscreenCanvas(image.width, image.height);
    canvas.getContext("2d").drawImage(image, 0, 0);
    const bytes = new Uint8Array(await (await canvas.convertToBlob({ type: "image/png" })).arrayBuffer());
    return btoa(Array.from(bytes, (b) => String.fromCharCode(b)).join(""));
  }, png.toString("base64"));
  return Buffer.from(data, "base64");
}

for (const [name, path] of Object.entries(SCREENS)) {
  test(`${name} is laid out as in its picture`, { timeout: 120_000 * patience }, async () => {
    for (const dark of [false, true]) {
      const file = join(pictures, `${name}-${dark ? "dark" : "light"}.png`);
      const png = await shot(await path(), dark);
      if (process.env.STILLWATCH_PICTURES === "write") writeFileSync(file, await small(png));
      const d = difference(await grid(blank, png), await grid(blank, readFileSync(file)));
      assert.ok(d <= LIKE, `${file}: ${(100 * d).toFixed(1)} % of the layout differ (at most ${100 * LIKE} %). Look at the screen; if it is meant to be so, STILLWATCH_PICTURES=write makes new pictures`);
    }
  });
}

test("other fonts pass, broken styles do not", { timeout: 240_000 * patience }, async () => {
  for (const name of ["queue", "campaign"]) {
    const at = await SCREENS[name]();
    const kept = await grid(blank, readFileSync(join(pictures, `${name}-light.png`)));
    const against = async (style) => difference(kept, await grid(blank, await shot(at, false, style)));
    for (const same of [":root { font-family: serif }", ":root { letter-spacing: .02em }", ":root { font-size: 15.5px }"]) {
      const d = await against(same);
      if (process.env.STILLWATCH_PICTURES) console.log(name, same, d);
      assert.ok(d <= LIKE, `${name} with ${same}: ${d}`);
    }
    for (const broken of [".frame { display: block }", ".frame > nav { display: none }", ":root { --bg: #e0b0b0 }", ".scroll, .figures, .timeline, .filters { display: none }"]) {
      const d = await against(broken);
      if (process.env.STILLWATCH_PICTURES) console.log(name, broken, d);
      assert.ok(d > LIKE, `${name} with ${broken}: ${d}`);
    }
  }
});
