const UNITS = [
  [86_400, "d"],
  [3_600, "h"],
  [60, "min"],
  [1, "s"],
] as const;

/** The two largest units: `3 h 12 min`. */
export function duration(seconds: number): string {
  let rest = Math.floor(seconds);
  const parts = UNITS.map(([size, unit]) => {
    const count = Math.floor(rest / size);
    rest -= count * size;
    return { count, text: `${count} ${unit}` };
  });
  const largest = parts.findIndex(({ count }) => count > 0);
  if (largest < 0) return "0 s";
  return parts
    .slice(largest, largest + 2)
    .filter(({ count }) => count > 0)
    .map(({ text }) => text)
    .join(" ");
}
