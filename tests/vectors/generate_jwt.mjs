// Records JWTs of the better-auth package, with the keys that it serves and stores, and whether `jose` accepts them:
//   node tests/vectors/generate_jwt.mjs OUT.json FOLDER …
// Each FOLDER has better-auth in its node_modules; the last one's package writes the edited tokens too. The format is told
// in README.md here. Keys are made up at each run.
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { packageAt } from "./generator/recorder.mjs";
import { edited, issued, rotated } from "./generator/groups_jwt.mjs";

const [out, ...folders] = process.argv.slice(2);
const vectors = [];
for (const [at, folder] of folders.entries()) {
  const better = await packageAt(folder);
  const groups = at === folders.length - 1 ? [issued, rotated, edited] : [issued, rotated];
  const before = vectors.length;
  for (const group of groups) vectors.push(...(await group(better)));
  const accepted = vectors.slice(before).filter(({ expected }) => expected.accepted).length;
  console.log(`better-auth ${better.version}: ${vectors.length - before} tokens, ${accepted} accepted`);
}
mkdirSync(dirname(out), { recursive: true });
writeFileSync(out, JSON.stringify({ jwt_format: 1, vectors }, null, 1));
