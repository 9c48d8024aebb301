// WCAG 2.2 AA as far as axe-core can tell, in both colour schemes.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { searchFor, startBrowser, stopBrowser, withPage } from "./browser.mjs";

const axe = await readFile(new URL("node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
const LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

before(startBrowser);
after(stopBrowser);

async function check(page, what) {
  await page.evaluate(axe);
  const found = await page.evaluate((values) => axe.run({ runOnly: { type: "tag", values } }), LEVELS);
  const said = found.violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.html} ${node.failureSummary}`).join("; ")}`);
  assert.deepEqual(said, [], what);
}

for (const colorScheme of ["light", "dark"]) {
  test(`nothing is in the way of anybody in ${colorScheme} colours`, () =>
    withPage(async (page) => {
      await check(page, "all photos");
      await page.click("#ask");
      await check(page, "the help");
      await page.keyboard.press("Escape");
      await page.click("#filter-button");
      await page.click("#filters label:has([value=portrait])");
      await check(page, "the filters");
      await page.keyboard.press("Escape");
      await searchFor(page, "dog AND");
      await check(page, "an error");
      await page.click(".chip");
      await searchFor(page, "dog");
      await page.focus("#grid .tile");
      await check(page, "results");
      await page.click("#grid .tile >> nth=0");
      await page.click("#why-button");
      await page.locator("#heat").waitFor();
      await page.locator("#neighbours .tile >> nth=5").waitFor();
      await check(page, "a photo");
    }, { colorScheme, reducedMotion: "reduce" }));
}
