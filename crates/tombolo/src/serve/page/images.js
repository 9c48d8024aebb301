// Images from the server. An `<img>` cannot send a token, so with one the bytes are fetched.

import { hasToken, reach } from "./server.js";

const fetches = new WeakMap();

export function loadImage(image, path) {
  dropImage(image);
  if (!hasToken()) { image.src = path; return; }
  const abort = new AbortController();
  fetches.set(image, abort);
  reach(path, { signal: abort.signal })
    .then((response) => response.blob())
    .then((blob) => { if (!abort.signal.aborted) image.src = URL.createObjectURL(blob); })
    .catch(() => { if (!abort.signal.aborted) image.dispatchEvent(new Event("error")); });
}

export function showInstead(image, other) {
  letGo(image);
  image.src = other.src;
}

export function dropImage(image) {
  letGo(image);
  image.removeAttribute("src");
}

function letGo(image) {
  fetches.get(image)?.abort();
  if (image.src.startsWith("blob:")) URL.revokeObjectURL(image.src);
}
