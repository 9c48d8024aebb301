// What the page says of a search: how many photos it found, what to do if none, and what is wrong.

import { asked, isAlike, isFiltered, isWords } from "./address.js";
import { $, element } from "./elements.js";
import { found } from "./found.js";
import { call } from "./server.js";
import { count } from "./wording.js";

let photosInLibrary = null;

export async function countPhotos() {
  photosInLibrary = (await call("/health")).photos;
  showStatus();
}

export function showStatus() {
  const { address, hits, next } = found();
  if (address === null) return;
  const state = asked();
  const browsing = !state.q && !isAlike(state);
  const all = browsing && !isFiltered(state) && next ? photosInLibrary : null;
  const amount = all ? count(all, "photo") : `${next ? "The first " : ""}${count(hits.length, "photo")}`;
  $("status").textContent = hits.length ? amount : "No photos";
  $("cut").hidden = !(isWords(state) && (state.min || hits.some((hit) => hit.probability !== null)));
  showEmpty(state, browsing && !isFiltered(state));
}

function showEmpty(state, isLibraryEmpty) {
  const ways = [state.min && "lower the cut-off", isFiltered(state) && "remove a filter", state.q && "say it in other words"];
  $("empty").hidden = found().hits.length > 0;
  $("empty").querySelector("h2").textContent = isLibraryEmpty ? "No photos yet" : "No photo matches";
  $("empty").querySelector("p").textContent = isLibraryEmpty ? "Add some with tombolo index." : `You can ${ways.filter(Boolean).join(" or ")}.`;
}

export function showFailure(error) {
  for (const id of ["empty", "cut"]) $(id).hidden = true;
  $("status").textContent = "";
  sayError(error);
}

export function sayError(error) {
  const message = error?.message ?? "";
  $("error").textContent = message;
  const column = Number(/^column (\d+)/.exec(message)?.[1] ?? 0);
  $("query").ariaInvalid = String(column > 0);
  markColumn(column);
}

// Columns count characters from 1; one past the last means the end, and 0 marks none.
export function markColumn(column) {
  const characters = Array.from($("query").value);
  if (!column) return $("mirror").replaceChildren();
  const wrong = element("mark", {}, characters[column - 1]?.trim() || "\u00a0");
  $("mirror").replaceChildren(characters.slice(0, column - 1).join(""), wrong);
  $("mirror").scrollLeft = $("query").scrollLeft;
}
