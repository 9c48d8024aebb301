// One photo: the picture, its record, its neighbours, and the way to the photos before and after it.

import { NO_FILTERS, NO_QUERY, asked, go, stepsFromGrid } from "./address.js";
import { $, element, isPlain } from "./elements.js";
import { found } from "./found.js";
import { focusTile } from "./grid.js";
import { dropImage, loadImage, showInstead } from "./images.js";
import { more } from "./searching.js";
import { call } from "./server.js";
import { tileFor } from "./tile.js";
import { showWhyAgain, turnWhyTo } from "./why.js";
import { dateOf, nameOf, percent, sizeOf } from "./wording.js";

const NEIGHBOURS = 12;

let opened = { id: null, abort: new AbortController() };

const openedIndex = () => found().hits.findIndex((hit) => hit.id === opened.id);
const pathOf = (id) => `/items/${encodeURIComponent(id)}`;

export async function openPhoto(id) {
  if ($("detail").open && opened.id === id) return showPlace();
  opened.abort.abort();
  opened = { id, abort: new AbortController() };
  const { signal } = opened.abort;
  clearPhoto();
  turnWhyTo(id);
  const hit = found().hits.find((hit) => hit.id === id);
  if (hit) showPicture(hit, signal);
  if (!$("detail").open) $("detail").showModal();
  for (const part of [$("detail"), $("detail").querySelector(".facts")]) part.scrollTop = 0;
  showPlace();
  try {
    const item = await call(pathOf(id), { signal });
    if (signal.aborted) return;
    if (!hit) showPicture(item, signal);
    showRecord(item);
    showNeighbours(await call("/search", { body: { item: id, top: NEIGHBOURS + 1 }, signal }), signal);
  } catch (error) {
    if (!signal.aborted) $("trouble").textContent = error.message;
  }
}

export function closePhoto() {
  if ($("detail").open) $("detail").close();
}

function clearPhoto() {
  for (const id of ["record", "name", "caption", "trouble"]) $(id).replaceChildren();
  $("neighbours").querySelectorAll("img").forEach(dropImage);
  $("neighbours").replaceChildren();
}

// The thumbnail at once, the original in its place when it has come; a format that browsers cannot show stays a thumbnail.
function showPicture(photo, signal) {
  const frame = $("frame");
  frame.style.setProperty("--ratio", photo.width / photo.height || 1);
  frame.style.setProperty("--widest", `${Math.max(640, photo.width * 2)}px`);
  const at = pathOf(photo.id);
  $("photo").alt = photo.caption ?? nameOf(photo.path);
  $("name").textContent = nameOf(photo.path);
  loadImage($("photo"), `${at}/thumbnail`);
  const original = new Image();
  loadImage(original, `${at}/image`);
  original.addEventListener("load", () => {
    if (signal.aborted) return dropImage(original);
    showInstead($("photo"), original);
    $("original").href = original.src;
  });
  signal.addEventListener("abort", () => { if (!original.complete) dropImage(original); });
  $("original").href = `${at}/image`;
  showWhyAgain();
}

function showPlace() {
  const { hits, next } = found();
  const index = openedIndex();
  const known = index >= 0;
  const { probability } = known ? hits[index] : { probability: null };
  const match = probability === null ? "" : ` · ${percent(probability)} match`;
  $("place").textContent = known ? `Photo ${(index + 1).toLocaleString("en-GB")}${match}` : "";
  $("previous").ariaDisabled = String(index <= 0);
  $("following").ariaDisabled = String(!known || (index === hits.length - 1 && !next));
}

function showRecord(item) {
  $("caption").textContent = item.caption ?? "";
  const tags = element("ul", {}, ...item.tags.map((tag) => {
    const button = element("button", { type: "button", className: "tag" }, tag);
    button.addEventListener("click", () => go({ ...NO_QUERY, ...NO_FILTERS, tags: [tag], photo: "" }));
    return element("li", {}, button);
  }));
  const record = {
    Path: item.path,
    Size: `${item.width} × ${item.height}, ${sizeOf(item.size)}`,
    Taken: item.taken_at && dateOf(item.taken_at),
    Changed: item.modified && dateOf(item.modified),
    Camera: item.camera,
    Tags: item.tags.length ? tags : null,
  };
  const lines = Object.entries(record).filter(([, value]) => value);
  $("record").replaceChildren(...lines.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
}

function showNeighbours({ hits }, signal) {
  if (signal.aborted) return;
  const others = hits.filter((hit) => hit.id !== opened.id).slice(0, NEIGHBOURS);
  $("neighbours").replaceChildren(...others.map((hit) => {
    const tile = tileFor(hit);
    tile.title = hit.caption ?? nameOf(hit.path);
    tile.addEventListener("click", (event) => {
      if (!isPlain(event)) return;
      event.preventDefault();
      go({ photo: hit.id }, { depth: stepsFromGrid() + 1 });
    });
    return element("li", {}, tile);
  }));
}

async function step(by) {
  const index = openedIndex();
  if (index < 0) return;
  if (index + by >= found().hits.length) await more();
  const hit = found().hits[index + by];
  if (hit) go({ photo: hit.id }, { replace: true, depth: stepsFromGrid() });
}

function leavePhoto() {
  const index = openedIndex();
  opened.abort.abort();
  dropImage($("photo"));
  const depth = stepsFromGrid();
  if (asked().photo && depth) history.go(-depth);
  else if (asked().photo) go({ photo: "" }, { replace: true });
  if (index >= 0) focusTile(index);
}

export function wirePhoto() {
  const dialog = $("detail");
  dialog.addEventListener("close", leavePhoto);
  $("close").addEventListener("click", () => dialog.close());
  $("previous").addEventListener("click", () => step(-1));
  $("following").addEventListener("click", () => step(1));
  $("alike").addEventListener("click", () => go({ ...NO_QUERY, item: opened.id, photo: "" }));
  addEventListener("keydown", (event) => {
    if (!dialog.open || $("token").open || event.target.closest("input") || !isPlain(event)) return;
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
}
