// The page of `tombolo serve`. What it shows follows from its address: `show` reads it, `go` changes it.

const PAGE_SIZE = 60;
const SCREENS_AROUND = 1.5;
const NEIGHBOURS = 12;
const PICTURE_IS_GONE = "Only the tab that searched with this picture has it. Choose it again.";
const REMEMBERED_SEARCHES = 6;
// Enough for every image tower, small enough for the session's storage.
const PICTURE_PIXELS = 640;

// What the address says, and the words that a filter in use is shown with.
const FILTERS = {
  orientation: (value) => value,
  from: (value) => `from ${value}`,
  to: (value) => `until ${value}`,
  width: (value) => `at least ${value} pixels across`,
  height: (value) => `at least ${value} pixels down`,
  folder: (value) => `in ${value}`,
  path: (value) => `path: ${value}`,
  camera: (value) => value,
};
const NO_QUERY = { q: "", item: "", picture: "", min: "", sort: "" };
const NO_FILTERS = { ...Object.fromEntries(Object.keys(FILTERS).map((name) => [name, ""])), tags: [] };
const FIELDS = [...Object.keys(NO_QUERY), ...Object.keys(FILTERS), "photo"];

const $ = (id) => document.getElementById(id);

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

const count = (number, noun) => `${number.toLocaleString("en-GB")} ${noun}${number === 1 ? "" : "s"}`;
const isPlain = (event) => !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey);
const nameOf = (path) => path.split(/[/\\]/).pop() || path;
const ratioOf = ({ width, height }) => Math.min(4, Math.max(0.4, width / height || 1));

function percent(probability) {
  if (probability < 0.005) return "<1%";
  return probability > 0.995 ? ">99%" : `${Math.round(probability * 100)}%`;
}

// ── The address ────────────────────────────────────────────────────────────────────────────────────────────────────

let state = null;

function readAddress() {
  const said = new URLSearchParams(location.search);
  const read = Object.fromEntries(FIELDS.map((name) => [name, said.get(name) ?? ""]));
  return { ...read, tags: said.getAll("tag") };
}

function addressOf(state) {
  const said = new URLSearchParams(FIELDS.filter((name) => state[name]).map((name) => [name, state[name]]));
  for (const tag of state.tags) said.append("tag", tag);
  return said.size ? `${location.pathname}?${said}` : location.pathname;
}

const searchAddress = (state) => addressOf({ ...state, photo: "" });
const isAlike = (state) => Boolean(state.item || state.picture);
const isWords = (state) => Boolean(state.q) && !isAlike(state);
const isFiltered = (state) => state.tags.length > 0 || Object.keys(FILTERS).some((name) => state[name]);

// `depth` counts the steps since the grid, so that closing a photo can go back to it.
function go(changes, { replace = false, depth = 0, again = false } = {}) {
  const address = addressOf({ ...state, ...changes });
  const same = address === location.pathname + location.search;
  history[replace || same ? "replaceState" : "pushState"]({ depth }, "", address);
  show({ again });
}

function show({ again = false, fromHistory = false } = {}) {
  const before = state;
  state = readAddress();
  showControls();
  if (again || !before || searchAddress(before) !== searchAddress(state)) search(fromHistory);
  if (state.photo) openPhoto(state.photo);
  else if ($("detail").open) $("detail").close();
}

// ── The server ─────────────────────────────────────────────────────────────────────────────────────────────────────

let token = sessionStorage.getItem("token");
let asking = null;

async function reach(path, { body, signal } = {}) {
  const used = token;
  const headers = {};
  if (used) headers.Authorization = `Bearer ${used}`;
  if (body) headers["Content-Type"] = "application/json";
  const asked = { method: body ? "POST" : "GET", headers, signal, body: body && JSON.stringify(body) };
  const response = await fetch(path, asked).catch((error) => {
    throw error.name === "AbortError" ? error : new Error("The server does not answer. Is it still running?");
  });
  if (response.status === 401) {
    if (used === token) await askForToken();
    return reach(path, { body, signal });
  }
  if (!response.ok) throw new Error(await messageOf(response));
  return response;
}

const call = async (path, options) => (await reach(path, options)).json();

async function messageOf(response) {
  const said = await response.json().catch(() => null);
  return said?.error?.message ?? `The server answered ${response.status} ${response.statusText}.`;
}

function askForToken() {
  asking ??= new Promise((resolve, reject) => {
    const dialog = $("token");
    const input = $("token-input");
    $("token-refused").textContent = token ? "The server refused this token." : "";
    input.value = "";
    dialog.addEventListener("close", () => {
      if (!input.value) return reject(new Error("This server wants a token. Search again to enter it."));
      token = input.value;
      sessionStorage.setItem("token", token);
      resolve();
    }, { once: true });
    dialog.showModal();
  }).finally(() => { asking = null; });
  return asking;
}

function wireToken() {
  $("token-form").addEventListener("submit", (event) => { event.preventDefault(); $("token").close(); });
  const cancel = () => { $("token-input").value = ""; };
  $("token").addEventListener("cancel", cancel);
  $("token-cancel").addEventListener("click", () => { cancel(); $("token").close(); });
}

// An `<img>` cannot send a token, so with one the bytes are fetched.
const fetches = new WeakMap();

function loadImage(image, path) {
  dropImage(image);
  if (!token) { image.src = path; return; }
  const abort = new AbortController();
  fetches.set(image, abort);
  reach(path, { signal: abort.signal })
    .then((response) => response.blob())
    .then((blob) => { if (!abort.signal.aborted) image.src = URL.createObjectURL(blob); })
    .catch(() => { if (!abort.signal.aborted) image.dispatchEvent(new Event("error")); });
}

function showInstead(image, other) {
  fetches.get(image)?.abort();
  if (image.src.startsWith("blob:")) URL.revokeObjectURL(image.src);
  image.src = other.src;
}

function dropImage(image) {
  fetches.get(image)?.abort();
  if (image.src.startsWith("blob:")) URL.revokeObjectURL(image.src);
  image.removeAttribute("src");
}

// ── Searching ──────────────────────────────────────────────────────────────────────────────────────────────────────

// Without an address: nothing has been found yet, or the search failed.
const NOTHING = { address: null, hits: [], next: null, scroll: 0 };
const remembered = new Map();
let results = NOTHING;
let running = new AbortController();
let photosInLibrary = null;

function bodyOf(state) {
  const body = { top: PAGE_SIZE, filter: filterOf(state), sort: state.sort || undefined };
  if (state.picture) body.image = sessionStorage.getItem(state.picture);
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

async function search(fromHistory) {
  running.abort();
  running = new AbortController();
  const { signal } = running;
  remember();
  sayError(null);
  const address = searchAddress(state);
  const kept = fromHistory && remembered.get(address);
  setBusy(!kept);
  if (kept) return showResults(kept);
  try {
    if (state.picture && !sessionStorage.getItem(state.picture)) throw new Error(PICTURE_IS_GONE);
    const { hits, next } = await call("/search", { body: bodyOf(state), signal });
    if (signal.aborted) return;
    showResults({ address, hits, next, scroll: 0 });
  } catch (error) {
    if (signal.aborted) return;
    showResults(NOTHING);
    for (const id of ["empty", "cut"]) $(id).hidden = true;
    $("status").textContent = "";
    sayError(error);
  }
  setBusy(false);
}

function remember() {
  if (results.address === null) return;
  remembered.delete(results.address);
  remembered.set(results.address, { ...results, scroll: scrollY });
  if (remembered.size > REMEMBERED_SEARCHES) remembered.delete(remembered.keys().next().value);
}

function showResults(found) {
  const hadFocus = $("grid").contains(document.activeElement);
  results = found;
  active = 0;
  layOut(true);
  scrollTo(0, found.scroll);
  draw();
  if (hadFocus) focusTile(0);
  showStatus();
  watchEnd();
}

let loading = null;

function more() {
  if (!results.next) return Promise.resolve();
  loading ??= loadMore().finally(() => { loading = null; watchEnd(); });
  return loading;
}

async function loadMore() {
  const { signal } = running;
  const of = results;
  $("retry").hidden = true;
  try {
    const { hits, next } = await call("/search", { body: { ...bodyOf(state), after: of.next }, signal });
    if (signal.aborted || of !== results) return;
    of.hits.push(...hits);
    of.next = next;
    layOut(false);
    draw();
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
  if (results.next) endWatcher.observe($("end"));
}

function setBusy(busy) {
  $("progress").hidden = !busy;
  $("grid").ariaBusy = String(busy);
  if (busy) $("retry").hidden = true;
}

function showStatus() {
  const { address, hits, next } = results;
  if (address === null) return;
  const browsing = !state.q && !isAlike(state);
  const all = browsing && !isFiltered(state) && next ? photosInLibrary : null;
  const amount = all ? count(all, "photo") : `${next ? "The first " : ""}${count(hits.length, "photo")}`;
  $("status").textContent = hits.length ? amount : "No photos";
  $("cut").hidden = !(isWords(state) && (state.min || hits.some((hit) => hit.probability !== null)));
  showEmpty(browsing && !isFiltered(state));
}

function showEmpty(isLibraryEmpty) {
  const ways = [state.min && "lower the cut-off", isFiltered(state) && "remove a filter", state.q && "say it in other words"];
  $("empty").hidden = results.hits.length > 0;
  $("empty").querySelector("h2").textContent = isLibraryEmpty ? "No photos yet" : "No photo matches";
  $("empty").querySelector("p").textContent = isLibraryEmpty ? "Add some with tombolo index." : `You can ${ways.filter(Boolean).join(" or ")}.`;
}

function sayError(error) {
  const message = error?.message ?? "";
  $("error").textContent = message;
  const column = Number(/^column (\d+)/.exec(message)?.[1] ?? 0);
  $("query").ariaInvalid = String(column > 0);
  markColumn(column);
}

// Columns count characters from 1; one past the last means the end.
function markColumn(column) {
  const characters = Array.from($("query").value);
  if (!column) return $("mirror").replaceChildren();
  const wrong = element("mark", {}, characters[column - 1]?.trim() || "\u00a0");
  $("mirror").replaceChildren(characters.slice(0, column - 1).join(""), wrong);
  $("mirror").scrollLeft = $("query").scrollLeft;
}

// ── The grid ───────────────────────────────────────────────────────────────────────────────────────────────────────

let rows = [];
let active = 0;
const drawn = new Map();

const gapOf = () => (innerWidth < 736 ? 4 : 6);
const targetHeight = (width) => Math.min(240, Math.max(132, width / 6));

// Rows of photos as wide as the grid, whose heights are as near the target as the photos allow.
function justify(hits, from, { width, target, gap, isLast }) {
  const made = [];
  let first = from;
  let sum = 0;
  const heightOf = (sum, photos) => (width - gap * (photos - 1)) / sum;
  const close = (end, height, isFull = true) => {
    made.push({ first, end, height: Math.round(height), isFull });
    first = end;
    sum = 0;
  };
  for (let at = from; at < hits.length; at = Math.max(at + 1, first)) {
    const wider = sum + ratioOf(hits[at]);
    const height = heightOf(wider, at - first + 1);
    const without = heightOf(sum, at - first);
    if (height > target) { sum = wider; continue; }
    if (at > first && without / target < target / height) { close(at, without); at -= 1; } else close(at + 1, height);
  }
  // Without more to come the last row stays as short as it is; else its photos wait for the next page.
  if (isLast && first < hits.length) close(hits.length, target, false);
  return made;
}

function layOut(anew) {
  const width = $("grid").clientWidth;
  const gap = gapOf();
  const seen = anew ? null : rows.at(-1);
  if (anew) { rows = []; erase([...drawn.keys()]); }
  let top = seen ? seen.top + seen.height + gap : 0;
  for (const row of justify(results.hits, seen?.end ?? 0, { width, target: targetHeight(width), gap, isLast: !results.next })) {
    rows.push({ ...row, top });
    top += row.height + gap;
  }
  $("grid").style.height = `${Math.max(0, top - gap)}px`;
}

// The first row for which `isPast` holds; `isPast` must go from false to true once.
function firstRow(isPast) {
  let [low, high] = [0, rows.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (isPast(rows[middle])) high = middle; else low = middle + 1;
  }
  return low;
}

const rowOf = (index) => firstRow((row) => row.end > index);
const laidOut = () => rows.at(-1)?.end ?? 0;

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
  const { first, end, height, top, isFull } = rows[at];
  const row = element("div", { className: "row", role: "row", ariaRowIndex: String(at + 1) });
  row.style.transform = `translateY(${top}px)`;
  row.style.height = `${height}px`;
  for (let index = first; index < end; index++) {
    const tile = tileFor(results.hits[index]);
    tile.dataset.index = index;
    const cell = element("div", { role: "gridcell" }, tile);
    const ratio = ratioOf(results.hits[index]);
    cell.style.flex = isFull ? `${ratio} 1 0` : `0 0 ${ratio * height}px`;
    row.append(cell);
  }
  const below = Math.min(...[...drawn.keys()].filter((other) => other > at));
  $("grid").insertBefore(row, drawn.get(below) ?? null);
  drawn.set(at, row);
}

function tileFor(hit) {
  const picture = element("img", { alt: hit.caption ?? nameOf(hit.path), loading: "lazy", decoding: "async", draggable: false });
  const says = element("span", { className: "says" });
  if (hit.probability !== null) {
    says.append(element("span", { className: "probability" }, percent(hit.probability), element("span", { className: "unseen" }, " match")));
  }
  if (hit.caption) says.append(element("span", { className: "text", ariaHidden: "true" }, hit.caption));
  const tile = element("a", { className: "tile", href: addressOf({ ...state, photo: hit.id }) }, picture, says);
  picture.addEventListener("load", () => tile.classList.add("shown"));
  picture.addEventListener("error", () => tile.append(element("span", { className: "missing", ariaHidden: "true" }, nameOf(hit.path))));
  loadImage(picture, `/items/${hit.id}/thumbnail`);
  return tile;
}

// One photo can be reached with Tab: the one last used if it is drawn, else the first on the screen.
function markActive() {
  const tiles = [...$("grid").querySelectorAll(".tile")];
  const header = $("header").offsetHeight;
  const chosen = tiles.find((tile) => Number(tile.dataset.index) === active)
    ?? tiles.find((tile) => tile.getBoundingClientRect().top >= header) ?? tiles[0];
  for (const tile of tiles) tile.tabIndex = tile === chosen ? 0 : -1;
}

function focusTile(index) {
  active = Math.max(0, Math.min(index, laidOut() - 1));
  const row = rows[rowOf(active)];
  if (!row) return;
  const top = scrollY + $("grid").getBoundingClientRect().top + row.top;
  const margin = $("header").offsetHeight + gapOf() + 6;
  if (top - margin < scrollY) scrollTo(0, top - margin);
  else if (top + row.height + 12 > scrollY + innerHeight) scrollTo(0, top + row.height + 12 - innerHeight);
  draw();
  $("grid").querySelector(`[data-index="${active}"]`)?.focus({ preventScroll: true });
}

// The photo in the row `by` rows below whose middle is nearest to this one's.
function verticalMove(index, by) {
  const middleOf = (index) => {
    const { first, height } = rows[rowOf(index)];
    const before = results.hits.slice(first, index).reduce((sum, hit) => sum + ratioOf(hit) * height + gapOf(), 0);
    return before + (ratioOf(results.hits[index]) * height) / 2;
  };
  const to = rows[Math.max(0, Math.min(rowOf(index) + by, rows.length - 1))];
  const middle = middleOf(index);
  const there = Array.from({ length: to.end - to.first }, (_, at) => to.first + at);
  return there.reduce((best, at) => (Math.abs(middleOf(at) - middle) < Math.abs(middleOf(best) - middle) ? at : best));
}

const MOVES = {
  ArrowLeft: () => active - 1,
  ArrowRight: () => active + 1,
  ArrowUp: () => verticalMove(active, -1),
  ArrowDown: () => verticalMove(active, 1),
  PageUp: () => verticalMove(active, -3),
  PageDown: () => verticalMove(active, 3),
  Home: (whole) => (whole ? 0 : rows[rowOf(active)].first),
  End: (whole) => (whole ? laidOut() : rows[rowOf(active)].end) - 1,
};

// Keeps the photo at the top of the screen there when the width changes.
function layOutAgain() {
  const above = -$("grid").getBoundingClientRect().top;
  const seen = rows[firstRow((row) => row.top + row.height > above)]?.first ?? 0;
  const hadFocus = $("grid").contains(document.activeElement);
  layOut(true);
  if (above > 0 && rows.length) scrollBy(0, $("grid").getBoundingClientRect().top + rows[rowOf(seen)].top);
  draw();
  if (hadFocus) focusTile(active);
}

function wireGrid() {
  const grid = $("grid");
  const indexOf = (event) => Number(event.target.closest(".tile")?.dataset.index ?? -1);
  grid.addEventListener("click", (event) => {
    if (indexOf(event) < 0 || !isPlain(event)) return;
    event.preventDefault();
    go({ photo: results.hits[indexOf(event)].id }, { depth: 1 });
  });
  grid.addEventListener("focusin", (event) => {
    if (indexOf(event) < 0) return;
    active = indexOf(event);
    markActive();
  });
  grid.addEventListener("keydown", (event) => {
    if (!MOVES[event.key] || !rows.length || event.altKey) return;
    event.preventDefault();
    focusTile(MOVES[event.key](event.ctrlKey || event.metaKey));
  });
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
  $("retry").addEventListener("click", more);
}

// ── Controls ───────────────────────────────────────────────────────────────────────────────────────────────────────

function showControls() {
  if ($("query").value !== state.q) $("query").value = state.q;
  const alike = isAlike(state);
  $("query").placeholder = alike ? "add words, or take away: - people" : "What is to be seen?";
  $("clear").hidden = !state.q && !alike;
  showLike(alike);
  const browsing = !state.q && !alike;
  $("sort").options[0].disabled = browsing;
  $("sort").value = state.sort || (browsing ? "newest" : "match");
  $("cut-off").value = state.min || 0;
  sayCutOff();
  showFilters();
  document.title = state.q ? `${state.q} – Tombolo` : "Tombolo";
}

function showLike(alike) {
  const shown = state.picture || state.item;
  $("like").hidden = !alike;
  if ($("like").dataset.shown === shown) return;
  $("like").dataset.shown = shown;
  const stored = state.picture && sessionStorage.getItem(state.picture);
  if (stored) { dropImage($("like-picture")); $("like-picture").src = stored; }
  else if (state.item) loadImage($("like-picture"), `/items/${encodeURIComponent(state.item)}/thumbnail`);
}

function sayCutOff() {
  const value = Number($("cut-off").value);
  $("cut-says").textContent = value ? `at least ${value}%` : "any";
  $("cut-off").ariaValueText = $("cut-says").textContent;
}

function showFilters() {
  for (const control of $("filters").elements) {
    if (control.name === "tag") control.checked = state.tags.includes(control.value);
    else if (control.type === "radio") control.checked = control.value === state[control.name];
    else if (control.name) control.value = state[control.name];
  }
  const chip = (text, changes) => {
    const button = element("button", { type: "button", className: "chip", ariaLabel: `Remove the filter: ${text}` }, text);
    button.addEventListener("click", () => { go(changes()); $("filter-button").focus(); });
    return element("li", {}, button);
  };
  const used = Object.keys(FILTERS).filter((name) => state[name]);
  const chips = used.map((name) => chip(FILTERS[name](state[name]), () => ({ [name]: "" })));
  chips.push(...state.tags.map((tag) => chip(tag, () => ({ tags: state.tags.filter((other) => other !== tag) }))));
  $("chips").replaceChildren(...chips);
  $("filter-count").hidden = !chips.length;
  $("filter-count").textContent = chips.length;
}

async function loadChoices() {
  const { cameras, tags, folders, taken } = await call("/filters");
  const there = { cameras: cameras.length, tags: tags.length, folders: folders.length, taken };
  for (const part of $("filters").querySelectorAll("[data-needs]")) part.hidden = !there[part.dataset.needs];
  $("cameras").replaceChildren(...cameras.map((value) => element("option", { value })));
  $("folders").replaceChildren(...folders.map((value) => element("option", { value })));
  const tagBox = (value) => element("label", {}, element("input", { type: "checkbox", name: "tag", value }), element("span", {}, value));
  $("tags").replaceChildren(...tags.map(tagBox));
  showFilters();
}

function wireFilters() {
  const form = $("filters");
  const apply = () => {
    // A year that is being typed is long past for a moment.
    if (!form.checkValidity()) return;
    const said = new FormData(form);
    const changes = Object.fromEntries(Object.keys(FILTERS).map((name) => [name, said.get(name).trim()]));
    go({ ...changes, tags: said.getAll("tag") });
  };
  form.addEventListener("change", apply);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    apply();
    form.hidePopover();
  });
  $("reset").addEventListener("click", () => go(NO_FILTERS));
}

function wireSearch() {
  const query = $("query");
  $("search").addEventListener("submit", (event) => {
    event.preventDefault();
    const q = query.value.trim();
    go({ q, sort: "", min: q ? state.min : "" }, { again: true });
  });
  query.addEventListener("input", () => {
    $("clear").hidden = !query.value && !isAlike(state);
    query.ariaInvalid = "false";
    markColumn(0);
  });
  query.addEventListener("scroll", () => { $("mirror").scrollLeft = query.scrollLeft; });
  $("clear").addEventListener("click", () => { query.value = ""; go(NO_QUERY); query.focus(); });
  $("unlike").addEventListener("click", () => { go({ ...NO_QUERY, q: state.q }); query.focus(); });
  $("help").addEventListener("beforetoggle", () => {
    const id = results.hits[active]?.id ?? results.hits[0]?.id;
    if (id) $("image-example").textContent = `image:${id} AND snow`;
  });
  for (const example of document.querySelectorAll(".example")) {
    example.addEventListener("click", () => {
      $("help").hidePopover();
      query.focus();
      go({ ...NO_QUERY, q: example.textContent }, { again: true });
    });
  }
  document.querySelector(".home").addEventListener("click", (event) => {
    if (!isPlain(event)) return;
    event.preventDefault();
    go({ ...NO_QUERY, ...NO_FILTERS }, { again: true });
  });
}

function wireOrder() {
  $("sort").addEventListener("change", () => {
    const sort = $("sort").value;
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

function wireKeys() {
  addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, select, textarea, dialog, [popover]");
    if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    $("query").select();
  });
  // Popovers hang below the header, whose height an error changes.
  new ResizeObserver(() => document.documentElement.style.setProperty("--below", `${$("header").offsetHeight + 8}px`)).observe($("header"));
}

// ── Searching with a picture ───────────────────────────────────────────────────────────────────────────────────────

async function searchWithPicture(file) {
  if (!file) return;
  const key = `picture-${Date.now().toString(36)}`;
  try {
    keepPicture(key, await dataUrlOf(file));
  } catch {
    return sayError(new Error("The picture is too large, or could not be read."));
  }
  go({ ...NO_QUERY, picture: key, photo: "" });
}

function keepPicture(key, url) {
  try {
    sessionStorage.setItem(key, url);
  } catch {
    // Storage is full: older pictures make room.
    Object.keys(sessionStorage).filter((name) => name.startsWith("picture-")).forEach((name) => sessionStorage.removeItem(name));
    sessionStorage.setItem(key, url);
  }
}

// A format that the browser cannot read is sent as it is; the server knows some that browsers do not.
async function dataUrlOf(file) {
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (!bitmap) return readAsDataUrl(file);
  const scale = Math.min(1, PICTURE_PIXELS / Math.max(bitmap.width, bitmap.height));
  const canvas = element("canvas", { width: Math.max(1, Math.round(bitmap.width * scale)), height: Math.max(1, Math.round(bitmap.height * scale)) });
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/jpeg", 0.92);
}

function readAsDataUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

function wirePicture() {
  const imageIn = (files) => [...(files ?? [])].find((file) => file.type.startsWith("image/"));
  $("choose").addEventListener("click", () => $("file").click());
  $("file").addEventListener("change", () => { searchWithPicture($("file").files[0]); $("file").value = ""; });
  addEventListener("paste", (event) => {
    const picture = imageIn(event.clipboardData?.files);
    // Office programs put a picture of the text beside the text.
    if (!picture || (event.clipboardData.getData("text/plain") && event.target.closest("input"))) return;
    event.preventDefault();
    searchWithPicture(picture);
  });
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    $("drop").hidden = false;
  });
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) $("drop").hidden = true; });
  addEventListener("drop", (event) => {
    $("drop").hidden = true;
    if (!hasFiles(event)) return;
    event.preventDefault();
    const picture = imageIn(event.dataTransfer.files);
    if (picture) searchWithPicture(picture);
    else sayError(new Error("That is no picture."));
  });
}

// ── One photo ──────────────────────────────────────────────────────────────────────────────────────────────────────

let opened = { id: null, abort: new AbortController() };

const openedIndex = () => results.hits.findIndex((hit) => hit.id === opened.id);

async function openPhoto(id) {
  if ($("detail").open && opened.id === id) return showPlace();
  opened.abort.abort();
  opened = { id, abort: new AbortController() };
  const { signal } = opened.abort;
  clearPhoto();
  offerTerms();
  const hit = results.hits.find((hit) => hit.id === id);
  if (hit) showPicture(hit, signal);
  if (!$("detail").open) $("detail").showModal();
  for (const part of [$("detail"), $("detail").querySelector(".facts")]) part.scrollTop = 0;
  showPlace();
  const at = `/items/${encodeURIComponent(id)}`;
  try {
    const item = await call(at, { signal });
    if (signal.aborted) return;
    if (!hit) showPicture(item, signal);
    showRecord(item);
    showNeighbours(await call("/search", { body: { item: id, top: NEIGHBOURS + 1 }, signal }), signal);
  } catch (error) {
    if (!signal.aborted) $("trouble").textContent = error.message;
  }
}

function clearPhoto() {
  for (const id of ["record", "name", "caption", "trouble", "why-says"]) $(id).replaceChildren();
  $("neighbours").querySelectorAll("img").forEach(dropImage);
  $("neighbours").replaceChildren();
  $("heat").hidden = true;
}

// The thumbnail at once, the original in its place when it has come; a format that browsers cannot show stays a thumbnail.
function showPicture(photo, signal) {
  const frame = $("frame");
  frame.style.setProperty("--ratio", photo.width / photo.height || 1);
  frame.style.setProperty("--widest", `${Math.max(640, photo.width * 2)}px`);
  const at = `/items/${encodeURIComponent(photo.id)}`;
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
  if (why.on) showWhy();
}

function showPlace() {
  const index = openedIndex();
  const known = index >= 0;
  const { probability } = known ? results.hits[index] : { probability: null };
  const match = probability === null ? "" : ` · ${percent(probability)} match`;
  $("place").textContent = known ? `Photo ${(index + 1).toLocaleString("en-GB")}${match}` : "";
  $("previous").ariaDisabled = String(index <= 0);
  $("following").ariaDisabled = String(!known || (index === results.hits.length - 1 && !results.next));
}

const dateOf = (said) => {
  const date = new Date(said);
  return Number.isNaN(date.getTime()) ? said : date.toLocaleString("en-GB", { dateStyle: "long", timeStyle: "short" });
};

function sizeOf(bytes) {
  const units = ["bytes", "kB", "MB", "GB"];
  const step = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  return `${(bytes / 1000 ** step).toLocaleString("en-GB", { maximumFractionDigits: step ? 1 : 0 })} ${units[step]}`;
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
      go({ photo: hit.id }, { depth: (history.state?.depth ?? 0) + 1 });
    });
    return element("li", {}, tile);
  }));
}

async function step(by) {
  const index = openedIndex();
  if (index < 0) return;
  if (index + by >= results.hits.length) await more();
  const hit = results.hits[index + by];
  if (hit) go({ photo: hit.id }, { replace: true, depth: history.state?.depth ?? 0 });
}

function leavePhoto() {
  const index = openedIndex();
  opened.abort.abort();
  dropImage($("photo"));
  const depth = history.state?.depth ?? 0;
  if (state.photo && depth) history.go(-depth);
  else if (state.photo) go({ photo: "" }, { replace: true });
  if (index >= 0) focusTile(index);
}

function wireDetail() {
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

// ── Why ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const why = { on: false, words: "" };

// From sea to sand: apart in lightness as well as in hue, for those who do not see the hue.
const RAMP = [[0, 8, 26, 48, 190], [0.35, 24, 66, 92, 120], [0.6, 150, 140, 90, 60], [0.8, 245, 190, 60, 110], [1, 255, 214, 70, 165]];

function rampAt(value) {
  const above = Math.max(1, RAMP.findIndex(([at]) => at >= value));
  const [low, high] = [RAMP[above - 1], RAMP[above]];
  const part = (value - low[0]) / (high[0] - low[0]);
  return [1, 2, 3, 4].map((channel) => low[channel] + part * (high[channel] - low[channel]));
}

function paint(canvas, width, height, valueAt) {
  [canvas.width, canvas.height] = [width, height];
  const pixels = new ImageData(width, height);
  for (let at = 0; at < width * height; at++) pixels.data.set(rampAt(valueAt(at % width, Math.floor(at / width))), at * 4);
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

// Catmull and Rom's spline: smooth, and through the cells' own values at their middles.
const spline = ([a, b, c, d], t) => b + (t / 2) * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)));

function paintCells(canvas, { rows, columns, cells }) {
  const fine = 24;
  const cell = (row, column) => cells[Math.min(rows - 1, Math.max(0, row)) * columns + Math.min(columns - 1, Math.max(0, column))];
  paint(canvas, columns * fine, rows * fine, (x, y) => {
    const [right, down] = [(x + 0.5) / fine - 0.5, (y + 0.5) / fine - 0.5];
    const [column, row] = [Math.floor(right), Math.floor(down)];
    const across = [-1, 0, 1, 2].map((by) => spline([-1, 0, 1, 2].map((on) => cell(row + by, column + on)), right - column));
    return Math.min(1, Math.max(0, spline(across, down - row)));
  });
}

function placeOfMost({ rows, columns, cells }) {
  const most = cells.indexOf(Math.max(...cells));
  const third = (at, of) => Math.floor(((at + 0.5) / of) * 3);
  const down = ["top", "", "bottom"][third(Math.floor(most / columns), rows)];
  const across = ["left", "", "right"][third(most % columns, columns)];
  return [down, across].filter(Boolean).join(" ") || "middle";
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
  if (on) return;
  $("heat").hidden = true;
  $("why-says").textContent = "";
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
  const { id } = opened;
  try {
    const map = await call(`/items/${encodeURIComponent(id)}/why?query=${encodeURIComponent(words)}`, { signal });
    if (signal.aborted || id !== opened.id || !why.on) return;
    paintCells($("heat"), map);
    $("heat").hidden = false;
    $("why-says").textContent = `“${words.replaceAll('"', "")}” matches most at the ${placeOfMost(map)} of the photo.`;
  } catch (error) {
    if (signal.aborted) return;
    setWhy(false);
    $("why-says").textContent = error.message;
  }
}

function wireWhy() {
  paint($("ramp"), 64, 1, (x) => x / 63);
  $("why-words").addEventListener("input", labelWhy);
  $("why").addEventListener("submit", (event) => {
    event.preventDefault();
    if (isWhyShown()) setWhy(false);
    else showWhy();
  });
}

// ── Start ──────────────────────────────────────────────────────────────────────────────────────────────────────────

async function countPhotos() {
  photosInLibrary = (await call("/health")).photos;
  showStatus();
}

function start() {
  history.scrollRestoration = "manual";
  for (const wire of [wireToken, wireGrid, wireFilters, wireSearch, wireOrder, wireKeys, wirePicture, wireDetail, wireWhy]) wire();
  addEventListener("popstate", () => show({ fromHistory: true }));
  show();
  // The search says what is wrong with the server, if anything is.
  countPhotos().catch(() => {});
  loadChoices().catch(() => {});
}

start();
