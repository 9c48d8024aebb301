// A map of cells as colours over a photo.

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

export function paintRamp(canvas) {
  paint(canvas, 64, 1, (x) => x / 63);
}

// Catmull and Rom's spline: smooth, and through the cells' own values at their middles.
const spline = ([a, b, c, d], t) => b + (t / 2) * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)));

export function paintCells(canvas, { rows, columns, cells }) {
  const fine = 24;
  const cell = (row, column) => cells[Math.min(rows - 1, Math.max(0, row)) * columns + Math.min(columns - 1, Math.max(0, column))];
  paint(canvas, columns * fine, rows * fine, (x, y) => {
    const [right, down] = [(x + 0.5) / fine - 0.5, (y + 0.5) / fine - 0.5];
    const [column, row] = [Math.floor(right), Math.floor(down)];
    const across = [-1, 0, 1, 2].map((by) => spline([-1, 0, 1, 2].map((on) => cell(row + by, column + on)), right - column));
    return Math.min(1, Math.max(0, spline(across, down - row)));
  });
}

// For those who do not see the colours.
export function placeOfMost({ rows, columns, cells }) {
  const most = cells.indexOf(Math.max(...cells));
  const third = (at, of) => Math.floor(((at + 0.5) / of) * 3);
  const down = ["top", "", "bottom"][third(Math.floor(most / columns), rows)];
  const across = ["left", "", "right"][third(most % columns, columns)];
  return [down, across].filter(Boolean).join(" ") || "middle";
}
