// The grid: draws the rows near the screen, and moves the focus among their photos.

import { go } from "./address.js";
import { $, element, isPlain } from "./elements.js";
import { found } from "./found.js";
import { dropImage } from "./images.js";
import { MOVES, firstRow, gapOf, laidOut, layRows, ratioOf, rowAt, rowOf } from "./rows.js";
import { tileFor } from "./tile.js";

const SCREENS_AROUND = 1.5;

// Rows in the document, by their place among all rows.
const drawn = new Map();
// The photo last used, by its place among those found.
let active = 0;

export const lastUsed = () => found().hits[active] ?? found().hits[0];

export function showFound() {
  const hadFocus = $("grid").contains(document.activeElement);
  active = 0;
  layOut(true);
  scrollTo(0, found().scroll);
  draw();
  if (hadFocus) focusTile(0);
}

export function showAdded() {
  layOut(false);
  draw();
}

function layOut(anew) {
  const width = $("grid").clientWidth;
  if (anew) erase([...drawn.keys()]);
  $("grid").style.height = `${layRows(width, anew)}px`;
}

// Keeps the photo at the top of the screen there when the width changes.
function layOutAgain() {
  const above = -$("grid").getBoundingClientRect().top;
  const seen = rowAt(firstRow((row) => row.top + row.height > above))?.first ?? 0;
  const hadFocus = $("grid").contains(document.activeElement);
  layOut(true);
  if (above > 0 && laidOut()) scrollBy(0, $("grid").getBoundingClientRect().top + rowAt(rowOf(seen)).top);
  draw();
  if (hadFocus) focusTile(active);
}

// Only rows near the screen are in the document, and the row that has the focus.
function draw() {
  const above = -$("grid").getBoundingClientRect().top;
  const around = innerHeight * SCREENS_AROUND;
  const from = firstRow((row) => row.top + row.height > above - around);
  const to = firstRow((row) => row.top > above + innerHeight + around);
  const wanted = new Set(Array.from({ length: to - from }, (_, at) => from + at));
  if ($("grid").contains(document.activeElement) && active < laidOut()) wanted.add(rowOf(active));
  erase([...drawn.keys()].filter((at) => !wanted.has(at)));
  for (const at of wanted) if (!drawn.has(at)) drawRow(at);
  markActive();
}

function erase(gone) {
  for (const at of gone) {
    const row = drawn.get(at);
    row.querySelectorAll("img").forEach(dropImage);
    row.remove();
    drawn.delete(at);
  }
}

function drawRow(at) {
  const { first, end, height, top, isFull } = rowAt(at);
  const { hits } = found();
  const row = element("div", { className: "row", role: "row", ariaRowIndex: String(at + 1) });
  row.style.transform = `translateY(${top}px)`;
  row.style.height = `${height}px`;
  for (let index = first; index < end; index++) {
    const tile = tileFor(hits[index]);
    tile.dataset.index = index;
    const cell = element("div", { role: "gridcell" }, tile);
    const ratio = ratioOf(hits[index]);
    cell.style.flex = isFull ? `${ratio} 1 0` : `0 0 ${ratio * height}px`;
    row.append(cell);
  }
  const below = Math.min(...[...drawn.keys()].filter((other) => other > at));
  $("grid").insertBefore(row, drawn.get(below) ?? null);
  drawn.set(at, row);
}

// One photo can be reached with Tab: the one last used if it is drawn, else the first on the screen.
function markActive() {
  const tiles = [...$("grid").querySelectorAll(".tile")];
  const header = $("header").offsetHeight;
  const chosen = tiles.find((tile) => Number(tile.dataset.index) === active)
    ?? tiles.find((tile) => tile.getBoundingClientRect().top >= header) ?? tiles[0];
  for (const tile of tiles) tile.tabIndex = tile === chosen ? 0 : -1;
}

export function focusTile(index) {
  active = Math.max(0, Math.min(index, laidOut() - 1));
  const row = rowAt(rowOf(active));
  if (!row) return;
  const top = scrollY + $("grid").getBoundingClientRect().top + row.top;
  const margin = $("header").offsetHeight + gapOf() + 6;
  if (top - margin < scrollY) scrollTo(0, top - margin);
  else if (top + row.height + 12 > scrollY + innerHeight) scrollTo(0, top + row.height + 12 - innerHeight);
  draw();
  $("grid").querySelector(`[data-index="${active}"]`)?.focus({ preventScroll: true });
}

function wireTiles(grid) {
  const indexOf = (event) => Number(event.target.closest(".tile")?.dataset.index ?? -1);
  grid.addEventListener("click", (event) => {
    if (indexOf(event) < 0 || !isPlain(event)) return;
    event.preventDefault();
    go({ photo: found().hits[indexOf(event)].id }, { depth: 1 });
  });
  grid.addEventListener("focusin", (event) => {
    if (indexOf(event) < 0) return;
    active = indexOf(event);
    markActive();
  });
  grid.addEventListener("keydown", (event) => {
    if (!MOVES[event.key] || !laidOut() || event.altKey) return;
    event.preventDefault();
    focusTile(MOVES[event.key](active, event.ctrlKey || event.metaKey));
  });
}

function wireScreen(grid) {
  let queued = false;
  addEventListener("scroll", () => {
    if (queued) return;
    queued = true;
    requestAnimationFrame(() => { queued = false; draw(); });
  }, { passive: true });
  let width = grid.clientWidth;
  new ResizeObserver(() => {
    if (grid.clientWidth === width) return;
    width = grid.clientWidth;
    layOutAgain();
  }).observe(grid);
  addEventListener("resize", draw);
}

export function wireGrid() {
  wireTiles($("grid"));
  wireScreen($("grid"));
}
