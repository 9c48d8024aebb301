// The address, which says all that is asked for: `asked` reads it, `go` changes it, and who watches it shows what follows.

// The filters, and the words that one in use is shown with.
export const FILTERS = {
  orientation: (value) => value,
  from: (value) => `from ${value}`,
  to: (value) => `until ${value}`,
  width: (value) => `at least ${value} pixels across`,
  height: (value) => `at least ${value} pixels down`,
  folder: (value) => `in ${value}`,
  path: (value) => `path: ${value}`,
  camera: (value) => value,
};
export const NO_QUERY = { q: "", item: "", picture: "", min: "", sort: "" };
export const NO_FILTERS = { ...Object.fromEntries(Object.keys(FILTERS).map((name) => [name, ""])), tags: [] };
const FIELDS = [...Object.keys(NO_QUERY), ...Object.keys(FILTERS), "photo"];

let state = null;
let onChange = null;

export const asked = () => state;

export const isAlike = (state) => Boolean(state.item || state.picture);
export const isWords = (state) => Boolean(state.q) && !isAlike(state);
export const isFiltered = (state) => state.tags.length > 0 || Object.keys(FILTERS).some((name) => state[name]);

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

export const searchAddress = (state) => addressOf({ ...state, photo: "" });
export const photoAddress = (id) => addressOf({ ...state, photo: id });

// `depth` counts the steps since the grid, so that closing a photo can go back to it.
export function go(changes, { replace = false, depth = 0, again = false } = {}) {
  const address = addressOf({ ...state, ...changes });
  const same = address === location.pathname + location.search;
  history[replace || same ? "replaceState" : "pushState"]({ depth }, "", address);
  change({ again });
}

export const stepsFromGrid = () => history.state?.depth ?? 0;

// Calls `listener` with what was asked before and how that changed: once for the address that the page was opened with, then
// for each change.
export function watchAddress(listener) {
  onChange = listener;
  addEventListener("popstate", () => change({ fromHistory: true }));
  change({});
}

function change(how) {
  const before = state;
  state = readAddress();
  onChange(before, how);
}
