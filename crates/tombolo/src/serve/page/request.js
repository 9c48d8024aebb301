// From what the address asks for to what the server is asked.

import { isAlike } from "./address.js";
import { keptPicture } from "./picture.js";

const PAGE_SIZE = 60;

export function bodyOf(state) {
  const body = { top: PAGE_SIZE, filter: filterOf(state), sort: state.sort || undefined };
  if (state.picture) body.image = keptPicture(state.picture);
  else if (state.item) body.item = state.item;
  if (isAlike(state)) return Object.assign(body, sumOf(state.q));
  if (state.q) body.query = state.q;
  if (state.q && state.min) body.min_probability = Number(state.min) / 100;
  return body;
}

function filterOf(state) {
  const path = /[*?[]/.test(state.path) || !state.path ? state.path : `*${state.path}*`;
  const said = {
    path, folder: state.folder, camera: state.camera, orientation: state.orientation, taken_from: state.from, taken_to: state.to,
    min_width: Number(state.width), min_height: Number(state.height), tags: state.tags.length ? state.tags : null,
  };
  return Object.fromEntries(Object.entries(said).filter(([, value]) => value));
}

// "at night - people": what to add to a picture, and what to take away.
function sumOf(text) {
  const sum = { add: [], subtract: [] };
  for (const part of text.trim().split(/\s+(?=[-−+])/)) {
    const words = part.replace(/^[-−+]\s*/, "").trim();
    if (words) sum[/^[-−]/.test(part) ? "subtract" : "add"].push(words);
  }
  return Object.fromEntries(Object.entries(sum).filter(([, texts]) => texts.length));
}
