export interface Sample {
  /** Milliseconds since the epoch. */
  at: number;
  value: number;
}

/** The plot's coordinates: from 0 at the left and the top to 1 at the right and the bottom. */
export type Point = readonly [x: number, y: number];

/** Two samples further apart than this belong to two lines: nothing is known about the time between them. */
const GAP_MS = 5_000;

/** The top of the axis: 1, 2 or 5 times a power of ten, at least 1, so that an idle machine does not look busy. */
export function axisTop(values: readonly number[]): number {
  const highest = Math.max(1, ...values);
  const power = 10 ** Math.floor(Math.log10(highest));
  return ([1, 2, 5].find((factor) => factor * power >= highest) ?? 10) * power;
}

/** One line for each stretch without a gap. All together span the plot from its left edge to its right one. */
export function lines(samples: readonly Sample[], top: number): Point[][] {
  const first = samples[0]?.at ?? 0;
  const span = (samples.at(-1)?.at ?? 0) - first;
  const found: Point[][] = [];
  let previous = -Infinity;
  for (const { at, value } of samples) {
    if (at - previous > GAP_MS) found.push([]);
    found.at(-1)?.push([span > 0 ? (at - first) / span : 1, 1 - value / top]);
    previous = at;
  }
  return found.filter((line) => line.length > 1);
}
