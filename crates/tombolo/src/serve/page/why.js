// Why a photo matches: asks which parts of it match some words, and shows them.

import { asked, isWords } from "./address.js";
import { $, element } from "./elements.js";
import { paintCells, paintRamp, placeOfMost } from "./heat.js";
import { call } from "./server.js";

// `query` is the search whose terms are offered, `words` are those asked about last.
const why = { photo: null, on: false, words: "", query: null, abort: null };

export function turnWhyTo(photo) {
  why.photo = photo;
  clearWhy();
  offerTerms();
}

// What was shown for the photo before is wanted for this one.
export function showWhyAgain() {
  if (why.on) showWhy();
}

function clearWhy() {
  $("heat").hidden = true;
  $("why-says").textContent = "";
}

// The terms of an expression; the server shows one at a time.
function termsOf(text) {
  const parts = text.match(/image:"[^"]*"|"[^"]*"|[()]|[^\s()"]+/g) ?? [];
  const terms = [[]];
  for (const part of parts) {
    if (["AND", "OR", "NOT", "(", ")"].includes(part) || part.startsWith("image:")) terms.push([]);
    else terms.at(-1).push(part);
  }
  return [...new Set(terms.map((words) => words.join(" ")).filter(Boolean))];
}

function offerTerms() {
  const state = asked();
  const terms = isWords(state) ? termsOf(state.q) : [];
  if (why.query !== state.q) $("why-words").value = terms[0] ?? "";
  why.query = state.q;
  const buttons = terms.map((term) => {
    const button = element("button", { type: "button", className: "tag" }, term);
    button.addEventListener("click", () => { $("why-words").value = term; showWhy(); });
    return button;
  });
  $("why-terms").replaceChildren(...(terms.length > 1 ? buttons : []));
}

function setWhy(on) {
  why.on = on;
  $("legend").hidden = !on;
  labelWhy();
  if (!on) clearWhy();
}

const isWhyShown = () => why.on && $("why-words").value.trim() === why.words;

function labelWhy() {
  $("why-button").textContent = isWhyShown() ? "Hide" : "Show";
}

async function showWhy() {
  const words = $("why-words").value.trim();
  why.words = words;
  setWhy(Boolean(words));
  if (!words) return $("why-words").focus();
  why.abort?.abort();
  why.abort = new AbortController();
  const { signal } = why.abort;
  const { photo } = why;
  try {
    const map = await call(`/items/${encodeURIComponent(photo)}/why?query=${encodeURIComponent(words)}`, { signal });
    if (signal.aborted || photo !== why.photo || !why.on) return;
    paintCells($("heat"), map);
    $("heat").hidden = false;
    $("why-says").textContent = `“${words.replaceAll('"', "")}” matches most at the ${placeOfMost(map)} of the photo.`;
  } catch (error) {
    if (signal.aborted) return;
    setWhy(false);
    $("why-says").textContent = error.message;
  }
}

export function wireWhy() {
  paintRamp($("ramp"));
  $("why-words").addEventListener("input", labelWhy);
  $("why").addEventListener("submit", (event) => {
    event.preventDefault();
    if (isWhyShown()) setWhy(false);
    else showWhy();
  });
}
