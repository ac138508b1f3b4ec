// Stories of visitors in a real browser: node browser.mjs FRONTEND_URL AUTH_URL API_URL GROUP…
//
// A group is a file in browser/. The first step that goes wrong ends it all with exit status 1. A story that needs
// something of whoever runs it prints `> stop backend`, say, and waits for a line on standard input, which may carry a
// value; see browser.py.
//
// CHROMIUM is the browser's program. SCREENSHOTS is a folder for a picture of every page, in each look. TRAITS are how
// this stack differs: "confirms-addresses" before a first sign-in, and "limits-rates" of attempts.
import assert from "node:assert/strict";
import { createInterface } from "node:readline/promises";

import { chromium } from "playwright-core";

import { Visitor } from "./browser/visitor.mjs";

const [frontend, auth, api, ...groups] = process.argv.slice(2);
assert(groups.length > 0, "usage: node browser.mjs FRONTEND_URL AUTH_URL API_URL GROUP…");

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    ...["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
    ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
  ],
});
const input = createInterface({ input: process.stdin });
const answers = input[Symbol.asyncIterator]();

const traits = (process.env.TRAITS ?? "").split(",");
const stage = {
  confirmsAddresses: traits.includes("confirms-addresses"),
  limitsRates: traits.includes("limits-rates"),
  browser,
  frontend,
  auth,
  api,
  folder: process.env.SCREENSHOTS,
  arrive: (options) => Visitor.arrive(stage, options),
  step: (text) => console.log(`  ${text}`),
  ask: async (what) => {
    console.log(`> ${what}`);
    const { done, value } = await answers.next();
    assert(!done, `nobody did: ${what}`);
    return value;
  },
};

try {
  for (const group of groups) {
    const { stories } = await import(`./browser/${group}.mjs`);
    for (const [title, story] of Object.entries(stories)) {
      console.log(title);
      await story(stage);
    }
  }
  console.log("every story went as it should");
} finally {
  await browser.close();
  input.close();
}
