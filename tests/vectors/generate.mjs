// Records the results of the better-auth package in a directory, in the format that README.md describes:
//   node tests/vectors/generate.mjs FOLDER OUT.json [REFERENCE [GROUP]]
// FOLDER has better-auth in its node_modules. If it is older than the version in REFERENCE, cases with different results
// are left out and listed, because we follow the newer version. With GROUP, only cases whose ids start with it are
// recorded. `make canary VERSION=…` runs this script. Secrets are random in each run.
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { areAlike, isOlder, packageAt, record } from "./generator/recorder.mjs";
import { edited, headers, tampered, valid } from "./generator/groups_content.mjs";
import { chunks, fields, ids, names, refresh, rotation, times } from "./generator/groups_settings.mjs";
import { jwks } from "./generator/groups_jwks.mjs";
import { STRATEGIES, town } from "./generator/people.mjs";

const [folder, out, reference, group = ""] = process.argv.slice(2);
const better = await packageAt(folder);
const newer = reference ? await packageAt(reference) : undefined;
const goesByNewer = newer !== undefined && isOlder(better.version, newer.version);

const here = town(better);
await headers(here);
for (const strategy of STRATEGIES) {
  for (const ask of [valid, tampered, edited, times, chunks, fields, names, rotation]) await ask(here, strategy);
}
await ids(here);
await refresh(here);
await jwks(here);

const vectors = [];
const unlike = [];
for (const each of here.cases.filter(({ id }) => id.startsWith(group))) {
  const entry = await record(better, each);
  if (goesByNewer && !areAlike(entry, await record(newer, each))) unlike.push(each.id);
  else vectors.push(entry);
}
mkdirSync(dirname(out), { recursive: true });
writeFileSync(out, JSON.stringify({ format: 1, vectors }, null, 1));
const count = (outcome) => vectors.filter(({ expected }) => expected.outcome === outcome).length;
console.log(`better-auth ${better.version}: ${vectors.length} vectors (${count("session")} session, ${count("null")} null, ${count("error")} error)`);
if (goesByNewer) console.log(`${unlike.length} that ${newer.version} decides unlike: ${unlike.join(", ")}`);
