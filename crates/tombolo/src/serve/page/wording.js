// Numbers, dates and paths as people read them.

export const count = (number, noun) => `${number.toLocaleString("en-GB")} ${noun}${number === 1 ? "" : "s"}`;
export const nameOf = (path) => path.split(/[/\\]/).pop() || path;

export function percent(probability) {
  if (probability < 0.005) return "<1%";
  return probability > 0.995 ? ">99%" : `${Math.round(probability * 100)}%`;
}

export function dateOf(said) {
  const date = new Date(said);
  return Number.isNaN(date.getTime()) ? said : date.toLocaleString("en-GB", { dateStyle: "long", timeStyle: "short" });
}

export function sizeOf(bytes) {
  const units = ["bytes", "kB", "MB", "GB"];
  const step = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  return `${(bytes / 1000 ** step).toLocaleString("en-GB", { maximumFractionDigits: step ? 1 : 0 })} ${units[step]}`;
}
