// The search box, the order and the cut-off.

import { NO_FILTERS, NO_QUERY, asked, go, isAlike, isWords } from "./address.js";
import { $, isPlain } from "./elements.js";
import { lastUsed } from "./grid.js";
import { dropImage, loadImage } from "./images.js";
import { keptPicture } from "./picture.js";
import { markColumn } from "./status.js";

export function showControls() {
  const state = asked();
  if ($("query").value !== state.q) $("query").value = state.q;
  const alike = isAlike(state);
  $("query").placeholder = alike ? "add words, or take away: - people" : "What is to be seen?";
  $("clear").hidden = !state.q && !alike;
  showLike(state);
  const browsing = !state.q && !alike;
  $("sort").options[0].disabled = browsing;
  $("sort").value = state.sort || (browsing ? "newest" : "match");
  $("cut-off").value = state.min || 0;
  sayCutOff();
  document.title = state.q ? `${state.q} – Tombolo` : "Tombolo";
}

// The picture or photo that is searched with.
function showLike(state) {
  const shown = state.picture || state.item;
  $("like").hidden = !isAlike(state);
  if ($("like").dataset.shown === shown) return;
  $("like").dataset.shown = shown;
  const stored = state.picture && keptPicture(state.picture);
  if (stored) { dropImage($("like-picture")); $("like-picture").src = stored; }
  else if (state.item) loadImage($("like-picture"), `/items/${encodeURIComponent(state.item)}/thumbnail`);
}

function sayCutOff() {
  const value = Number($("cut-off").value);
  $("cut-says").textContent = value ? `at least ${value}%` : "any";
  $("cut-off").ariaValueText = $("cut-says").textContent;
}

export function wireSearch() {
  const query = $("query");
  $("search").addEventListener("submit", (event) => {
    event.preventDefault();
    const q = query.value.trim();
    go({ q, sort: "", min: q ? asked().min : "" }, { again: true });
  });
  query.addEventListener("input", () => {
    $("clear").hidden = !query.value && !isAlike(asked());
    query.ariaInvalid = "false";
    markColumn(0);
  });
  query.addEventListener("scroll", () => { $("mirror").scrollLeft = query.scrollLeft; });
  $("clear").addEventListener("click", () => { query.value = ""; go(NO_QUERY); query.focus(); });
  $("unlike").addEventListener("click", () => { go({ ...NO_QUERY, q: asked().q }); query.focus(); });
  document.querySelector(".home").addEventListener("click", (event) => {
    if (!isPlain(event)) return;
    event.preventDefault();
    go({ ...NO_QUERY, ...NO_FILTERS }, { again: true });
  });
}

export function wireHelp() {
  $("help").addEventListener("beforetoggle", () => {
    const id = lastUsed()?.id;
    if (id) $("image-example").textContent = `image:${id} AND snow`;
  });
  for (const example of document.querySelectorAll(".example")) {
    example.addEventListener("click", () => {
      $("help").hidePopover();
      $("query").focus();
      go({ ...NO_QUERY, q: example.textContent }, { again: true });
    });
  }
}

export function wireOrder() {
  $("sort").addEventListener("change", () => {
    const sort = $("sort").value;
    const state = asked();
    // By date, photos that do not match would stand between those that do.
    const min = isWords(state) && sort !== "match" && !$("cut").hidden && !state.min ? "50" : state.min;
    go({ sort: sort === "match" ? "" : sort, min });
  });
  let waiting = 0;
  $("cut-off").addEventListener("input", () => {
    sayCutOff();
    clearTimeout(waiting);
    waiting = setTimeout(() => go({ min: Number($("cut-off").value) ? $("cut-off").value : "" }, { replace: true }), 200);
  });
}

export function wireKeys() {
  addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, select, textarea, dialog, [popover]");
    if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    $("query").select();
  });
}

// Popovers hang below the header, whose height an error changes.
export function wireHeader() {
  new ResizeObserver(() => document.documentElement.style.setProperty("--below", `${$("header").offsetHeight + 8}px`)).observe($("header"));
}
