// Screens against kept pictures of them: not their pixels but their layout (layout.mjs). A test shows
// that other fonts pass and that broken styles do not. STILLWATCH_PICTURES=write makes new pictures.
import { before, test } from "node:test";
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as b from "./browser.mjs";
import { patience } from "./browser.mjs";
import { difference, grid } from "./layout.mjs";

const pictures = join(b.root, "tests/data/screens");
const LIKE = 0.09; // share of cells that may differ; other fonts make .056, a lost navigation .23

let base, canvas;

before(async () => {
  const out = join(b.dir, "out");
  b.scan(out);
  const [bundle, kept] = [join(b.dir, "bundle.json"), join(out, "console")];
  mkdirSync(kept);
  b.run("share", "export", "--out-of", out, "--audience", "provider", "--issuer", "North", "--alone", "a test", "--to", bundle);
  b.run("share", "import", bundle, "--source", "north", "--data", kept);
  base = await b.consoleOver(out);
  canvas = await b.browser.newPage();
});

// The screen as it is, or with more style (which the service's policy would refuse to anybody else).
async function shot(path, dark, style) {
  const page = await b.blank(base, { dark, bypassCSP: true, reducedMotion: "reduce" });
  await page.clock.setFixedTime(new Date("2026-05-07T12:00:00Z"));
  await page.goto(base + path);
  await b.settled(page);
  if (style) await page.addStyleTag({ content: style });
  await page.evaluate(() => document.fonts.ready);
  const png = await page.screenshot({ animations: "disabled", caret: "hide" });
  await page.context().close();
  return png;
}

const first = async () => (await b.ask(base, "/api/v1/campaigns?sort=exchanges&limit=1")).rows[0].id;
const SCREENS = { queue: () => "/campaigns", campaign: async () => `/campaigns/${await first()}`, hunt: () => "/hunt", imports: () => "/sharing/in" };

// Kept small: an eighth of the width is more than the comparison sees.
async function small(png) {
  const data = await canvas.evaluate(async (data) => {
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
      const d = difference(await grid(canvas, png), await grid(canvas, readFileSync(file)));
      assert.ok(d <= LIKE, `${file}: ${(100 * d).toFixed(1)} % of the layout differ (at most ${100 * LIKE} %). Look at the screen; if it is meant to be so, STILLWATCH_PICTURES=write makes new pictures`);
    }
  });
}

test("other fonts pass, broken styles do not", { timeout: 240_000 * patience }, async () => {
  for (const name of ["queue", "campaign"]) {
    const at = await SCREENS[name]();
    const kept = await grid(canvas, readFileSync(join(pictures, `${name}-light.png`)));
    const against = async (style) => difference(kept, await grid(canvas, await shot(at, false, style)));
    for (const same of [":root { font-family: serif }", ":root { letter-spacing: .02em }", ":root { font-size: 15.3px }"]) {
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
