// What the tests of the page share: a Chromium, a page that is watched, and the server's own answers to compare with.

import assert from "node:assert/strict";
import { chromium } from "playwright-core";

const url = process.env.TOMBOLO_URL;
assert.ok(url, "TOMBOLO_URL must say where `tombolo serve` listens, such as http://127.0.0.1:7000");
export const origin = new URL(url).origin;

const QUIET = ["background-networking", "component-update", "default-apps", "domain-reliability", "sync"];
const ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--no-pings", ...QUIET.map((what) => `--disable-${what}`)];

let browser = null;

export async function startBrowser() {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ARGUMENTS });
}

export const stopBrowser = () => browser?.close();

/// Runs `body` with a fresh page, and fails if the page asked another host for anything, or anything in it went wrong.
export async function withPage(body, { routes = {}, waits = true, ...options } = {}) {
  const context = await browser.newContext({ baseURL: origin, viewport: { width: 1280, height: 800 }, ...options });
  const page = await context.newPage();
  const wrong = [];
  page.setDefaultTimeout(20_000);
  page.on("request", (request) => {
    const at = new URL(request.url());
    if (!["blob:", "data:"].includes(at.protocol) && at.origin !== origin) wrong.push(`asked ${at.href}`);
  });
  page.on("pageerror", (error) => wrong.push(error.stack));
  page.on("console", (message) => {
    // Chromium writes a line for every answer from 400 on, which some tests want.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) wrong.push(message.text());
  });
  try {
    for (const [pattern, answer] of Object.entries(routes)) await page.route(pattern, answer);
    await page.goto("/");
    if (waits) await settled(page);
    await body(page);
    assert.deepEqual(wrong, []);
  } finally {
    await context.close();
  }
}

/// Waits until the page has shown what it searched for.
export const settled = (page) => page.locator("#grid[aria-busy=false]").waitFor({ state: "attached" });

/// Types a query and waits for its results.
export async function searchFor(page, query) {
  await page.fill("#query", query);
  await page.press("#query", "Enter");
  await settled(page);
}

/// What the server answers to a search.
export async function answerTo(body) {
  const response = await fetch(`${origin}/search`, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  });
  assert.equal(response.status, 200);
  return response.json();
}

export async function thumbnailOf(id) {
  const response = await fetch(`${origin}/items/${id}/thumbnail`);
  assert.equal(response.status, 200);
  return Buffer.from(await response.arrayBuffer());
}

export const idsOf = ({ hits }) => hits.map((hit) => hit.id);

/// Ids of the tiles in the document, in their order.
export const idsShown = (page) =>
  page.$$eval("#grid .tile", (tiles) => tiles.map((tile) => new URL(tile.href).searchParams.get("photo")));

/// Checks that what is shown and the server's answer begin alike: rows far off the screen are not drawn, and the page after
/// the first may have come.
export async function assertShows(page, answer) {
  const [shown, expected] = [await idsShown(page), idsOf(answer)];
  assert.ok(shown.length >= Math.min(10, expected.length), `${shown.length} photos are shown of ${expected.length}`);
  const both = Math.min(shown.length, expected.length);
  assert.deepEqual(shown.slice(0, both), expected.slice(0, both));
}

/// An answer to /search that a test makes up.
export const answering = (body, status = 200) => (route) =>
  route.fulfill({ status, contentType: "application/json", body: JSON.stringify(body) });

export const hit = (id, more = {}) => ({
  rank: 1, score: 0.5, probability: null, path: `/photos/${id}.jpg`, id: String(id), width: 400, height: 300, caption: null, taken_at: null, ...more,
});

export const picture = (route) =>
  route.fulfill({ contentType: "image/svg+xml", body: '<svg xmlns="http://www.w3.org/2000/svg" width="4" height="3"/>' });
