import { describe, expect, it } from "vitest";

import { duration } from "../src/components/stream/duration";
import { axisTop, lines } from "../src/components/stream/scale";
import { betterAddress } from "../src/services/hostName";

describe("the one host name", () => {
  it.each([
    ["http://127.0.0.1:5175/login?a=b#c", "http://localhost:9404", "http://localhost:5175/login?a=b#c"],
    ["http://[::1]:5175/", "http://localhost:9404", "http://localhost:5175/"],
    ["http://localhost:5175/", "http://127.0.0.1:9404", "http://127.0.0.1:5175/"],
    ["http://localhost:5175/", "http://localhost:9404", undefined],
    ["https://app.example.com/", "https://auth.example.com", undefined],
    ["http://192.168.1.2:5175/", "http://localhost:9404", undefined],
  ])("a page at %s with its cookies from %s belongs at %s", (page, auth, better) => {
    expect(betterAddress(page, auth)).toBe(better);
  });
});

it.each([
  [0.4, "0 s"],
  [59.9, "59 s"],
  [60, "1 min"],
  [3_700, "1 h 1 min"],
  [86_400, "1 d"],
  [90_061, "1 d 1 h"],
])("%d seconds are %s", (seconds, text) => {
  expect(duration(seconds)).toBe(text);
});

describe("the scale of the chart", () => {
  it.each([
    [[], 1],
    [[0, 0.3], 1],
    [[1], 1],
    [[1.01], 2],
    [[2.5, 0.1], 5],
    [[5.1], 10],
    [[10], 10],
    [[42], 50],
    [[123], 200],
  ])("for %j ends at %d", (values, top) => {
    expect(axisTop(values)).toBe(top);
  });

  it("spans the plot from edge to edge, however few samples there are", () => {
    const samples = [0, 1, 2].map((second) => ({ at: second * 1_000, value: second }));
    expect(lines(samples, 2)).toEqual([
      [
        [0, 1],
        [0.5, 0.5],
        [1, 0],
      ],
    ]);
  });

  it("draws nothing through a gap", () => {
    const samples = [0, 1, 9, 10].map((second) => ({ at: second * 1_000, value: 1 }));
    expect(lines(samples, 1).map((line) => line.map(([x]) => x))).toEqual([
      [0, 0.1],
      [0.9, 1],
    ]);
  });

  it.each([[[]], [[{ at: 5, value: 1 }]]])("has no line for %j", (samples) => {
    expect(lines(samples, 1)).toEqual([]);
  });
});
