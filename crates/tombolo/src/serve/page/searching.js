// Searching: asks the server for photos, and for more of them as the end of the grid comes near.

import { asked, searchAddress } from "./address.js";
import { $ } from "./elements.js";
import { NOTHING, addFound, found, foundBefore, rememberFound, setFound } from "./found.js";
import { showAdded, showFound } from "./grid.js";
import { keptPicture } from "./picture.js";
import { bodyOf } from "./request.js";
import { call } from "./server.js";
import { sayError, showFailure, showStatus } from "./status.js";

const PICTURE_IS_GONE = "Only the tab that searched with this picture has it. Choose it again.";

let running = new AbortController();
let loading = null;

export async function search(fromHistory) {
  running.abort();
  running = new AbortController();
  const { signal } = running;
  const state = asked();
  rememberFound();
  sayError(null);
  const address = searchAddress(state);
  const kept = fromHistory && foundBefore(address);
  setBusy(!kept);
  if (kept) return showResults(kept);
  try {
    if (state.picture && !keptPicture(state.picture)) throw new Error(PICTURE_IS_GONE);
    const { hits, next } = await call("/search", { body: bodyOf(state), signal });
    if (signal.aborted) return;
    showResults({ address, hits, next, scroll: 0 });
  } catch (error) {
    if (signal.aborted) return;
    showResults(NOTHING);
    showFailure(error);
  }
  setBusy(false);
}

function showResults(results) {
  setFound(results);
  showFound();
  showStatus();
  watchEnd();
}

function setBusy(busy) {
  $("progress").hidden = !busy;
  $("grid").ariaBusy = String(busy);
  if (busy) $("retry").hidden = true;
}

export function more() {
  if (!found().next) return Promise.resolve();
  loading ??= loadMore().finally(() => { loading = null; watchEnd(); });
  return loading;
}

async function loadMore() {
  const { signal } = running;
  const of = found();
  $("retry").hidden = true;
  try {
    const page = await call("/search", { body: { ...bodyOf(asked()), after: of.next }, signal });
    if (signal.aborted || of !== found()) return;
    addFound(page);
    showAdded();
    showStatus();
  } catch (error) {
    if (signal.aborted) return;
    sayError(error);
    $("retry").hidden = false;
  }
}

const endWatcher = new IntersectionObserver(([entry]) => {
  if (entry.isIntersecting && $("retry").hidden) more();
}, { rootMargin: "1500px 0px" });

// Observing anew asks again whether the end is near, which the watcher tells only once otherwise.
function watchEnd() {
  endWatcher.unobserve($("end"));
  if (found().next) endWatcher.observe($("end"));
}

export function wireMore() {
  $("retry").addEventListener("click", more);
}
