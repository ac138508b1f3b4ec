import { describe, expect, it } from "vitest";

import { duration } from "../src/components/stream/duration";
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
