// Where photos lie: rows as wide as the grid, and the ways from one photo to another.

import { found } from "./found.js";

let rows = [];

export const ratioOf = ({ width, height }) => Math.min(4, Math.max(0.4, width / height || 1));
export const gapOf = () => (innerWidth < 736 ? 4 : 6);
const targetHeight = (width) => Math.min(240, Math.max(132, width / 6));

// Rows whose heights are as near the target as the photos allow.
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

// Lays out all photos anew, or those alone that have come since; gives the height of all rows.
export function layRows(width, anew) {
  const { hits, next } = found();
  const gap = gapOf();
  if (anew) rows = [];
  const last = rows.at(-1);
  let top = last ? last.top + last.height + gap : 0;
  for (const row of justify(hits, last?.end ?? 0, { width, target: targetHeight(width), gap, isLast: !next })) {
    rows.push({ ...row, top });
    top += row.height + gap;
  }
  return Math.max(0, top - gap);
}

// The first row for which `isPast` holds; `isPast` must go from false to true once.
export function firstRow(isPast) {
  let [low, high] = [0, rows.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (isPast(rows[middle])) high = middle; else low = middle + 1;
  }
  return low;
}

export const rowAt = (at) => rows[at];
export const rowOf = (index) => firstRow((row) => row.end > index);
export const laidOut = () => rows.at(-1)?.end ?? 0;

// The photo in the row `by` rows below whose middle is nearest to this one's.
function verticalMove(index, by) {
  const { hits } = found();
  const middleOf = (index) => {
    const { first, height } = rows[rowOf(index)];
    const before = hits.slice(first, index).reduce((sum, hit) => sum + ratioOf(hit) * height + gapOf(), 0);
    return before + (ratioOf(hits[index]) * height) / 2;
  };
  const to = rows[Math.max(0, Math.min(rowOf(index) + by, rows.length - 1))];
  const middle = middleOf(index);
  const there = Array.from({ length: to.end - to.first }, (_, at) => to.first + at);
  return there.reduce((best, at) => (Math.abs(middleOf(at) - middle) < Math.abs(middleOf(best) - middle) ? at : best));
}

// Where a key leads from a photo; the result may lie outside the photos.
export const MOVES = {
  ArrowLeft: (index) => index - 1,
  ArrowRight: (index) => index + 1,
  ArrowUp: (index) => verticalMove(index, -1),
  ArrowDown: (index) => verticalMove(index, 1),
  PageUp: (index) => verticalMove(index, -3),
  PageDown: (index) => verticalMove(index, 3),
  Home: (index, whole) => (whole ? 0 : rows[rowOf(index)].first),
  End: (index, whole) => (whole ? laidOut() : rows[rowOf(index)].end) - 1,
};
