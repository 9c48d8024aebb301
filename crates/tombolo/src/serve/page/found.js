// What the search in the address has found so far, and what a few before it had, for the way back.

const REMEMBERED_SEARCHES = 6;

// Without an address: nothing has been found yet, or the search failed.
export const NOTHING = { address: null, hits: [], next: null, scroll: 0 };

const remembered = new Map();
let results = NOTHING;

export const found = () => results;

export function setFound(other) {
  results = other;
}

export function addFound({ hits, next }) {
  results.hits.push(...hits);
  results.next = next;
}

export function rememberFound() {
  if (results.address === null) return;
  remembered.delete(results.address);
  remembered.set(results.address, { ...results, scroll: scrollY });
  if (remembered.size > REMEMBERED_SEARCHES) remembered.delete(remembered.keys().next().value);
}

export const foundBefore = (address) => remembered.get(address);
