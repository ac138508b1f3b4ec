// What the page shows of a session, and how a session goes on and ends.
import assert from "node:assert/strict";

import { newPerson, until } from "./visitor.mjs";

export const stories = {
  "The page shows what the Python backend knows": panel,
  "Revoking the session: 401, and the backend closes the stream": revoke,
  "Reloading, and the back button": reloadAndBack,
  "Two tabs: a sign-out in one signs out the other": twoTabs,
  "A session that is revoked from another device": revokedElsewhere,
  "A session or a user that is deleted in the database": deleted,
};

async function panel(stage) {
  const ada = newPerson();
  const visitor = await stage.arrive();
  await visitor.signUp(ada);
  const { page } = visitor;
  await visitor.sees(`GET ${stage.api}/api/me`);
  await visitor.sees("200 OK");
  assert.match(await page.locator(".exchange").textContent(), /\d ms/);
  const body = JSON.parse(await page.locator(".exchange pre").textContent());
  assert.deepEqual([body.user.name, body.user.email, body.credential], [ada.name, ada.email, "cookie"]);
  assert.equal(await visitor.fact("Credential"), "Session cookie");
  assert.match(await visitor.fact("Expires in"), /^6 d 23 h$|^7 d$/);
  const age = await visitor.fact("Session age");
  await until(async () => (await visitor.fact("Session age")) !== age, "an older session");

  stage.step("the stream: a line from edge to edge, between the axis's numbers");
  const events = await visitor.fact("Events sent");
  await until(async () => (await visitor.fact("Events sent")) !== events, "another event");
  await page.locator(".chart-line").first().waitFor();
  if (stage.folder) await page.waitForTimeout(15_000);
  const plot = await page.locator(".plot").boundingBox();
  const line = await page.locator(".chart-line").first().boundingBox();
  assert(Math.abs(line.x - plot.x) < 3 && Math.abs(line.width - plot.width) < 6, JSON.stringify({ plot, line }));
  const load = Number(await visitor.fact("Load, 1 min"));
  const ticks = (await page.locator(".chart-y span").allTextContents()).map(Number);
  assert(ticks.length === 3 && ticks[0] >= load && ticks[1] === ticks[0] / 2 && ticks[2] === 0, `${load} in ${ticks}`);
  assert.match(await page.locator(".chart-x").textContent(), /\d s ago\s*now|1 min ago\s*now/);
  await visitor.picture("home");
  await visitor.leave();
}

async function revoke(stage) {
  const ada = newPerson();
  const visitor = await stage.arrive();
  await visitor.signUp(ada);
  await visitor.page.locator(".chart-line").first().waitFor();
  if (stage.folder) await visitor.page.waitForTimeout(15_000);
  visitor.expectErrors(/status of 401.*\/api\/me/);
  await visitor.button("Revoke this session").click();
  await visitor.sees("401 Unauthorized");
  await visitor.sees("closed the WebSocket with code 4001, “session ended”");
  assert.equal(await visitor.page.locator(".pill").textContent(), "Closed");
  await visitor.isAt("/");
  await visitor.picture("revoked");

  stage.step("and signing in again");
  await visitor.button("Sign in again").click();
  await visitor.isAt("/login?redirect=/");
  await visitor.sees("Your session has ended.");
  await visitor.signIn(ada);
  await visitor.isAtHome(ada.name);
  await visitor.leave();
}

async function reloadAndBack(stage) {
  const ada = newPerson();
  const visitor = await stage.arrive();
  const { page } = visitor;
  await visitor.signUp(ada);
  await visitor.signOut();
  await visitor.open("/signup");
  await visitor.open("/login");
  await visitor.signIn(ada);
  await visitor.isAtHome(ada.name);
  const visited = [];
  page.on("framenavigated", (frame) => visited.push(new URL(frame.url()).pathname));
  await page.reload();
  await visitor.isAtHome(ada.name);
  assert.deepEqual([...new Set(visited)], ["/"], "a reload shows no sign-in page in between");

  stage.step("back: signed in, not to a form for those who are not");
  await page.goBack();
  await visitor.isAt("/");
  await visitor.isAtHome(ada.name);

  stage.step("back: signed out, not to what was there before");
  await visitor.button("Sign out").click();
  await visitor.isAt("/login?redirect=/");
  await visitor.open("/signup");
  await page.goBack();
  await visitor.isAt("/login?redirect=/");
  await visitor.seesHeading("Sign in");
  assert.equal(await page.getByText(ada.email).count(), 0);
  await visitor.leave();
}

async function twoTabs(stage) {
  const ada = newPerson();
  const visitor = await stage.arrive();
  await visitor.signUp(ada);
  const other = await visitor.openTab();
  await visitor.open("/", other);
  await visitor.seesLive(other);
  // The other one's socket closes, and it asks the backend, which has to refuse.
  visitor.expectErrors(/status of 401.*\/api\/me/, /WebSocket connection to .* failed.*401/);
  await visitor.button("Sign out").click();
  await visitor.sees("You have signed out.");
  await visitor.isAt("/login?redirect=/");
  await visitor.isAt("/login?redirect=/", other);
  await visitor.sees("You signed out in another tab.", other);

  stage.step("and signing in again in one serves both");
  await visitor.signIn(ada);
  await visitor.isAtHome(ada.name);
  await other.reload();
  await visitor.isAt("/", other);
  await visitor.seesLive(other);
  await visitor.leave();
}

async function revokedElsewhere(stage) {
  const ada = newPerson();
  const visitor = await stage.arrive();
  await visitor.signUp(ada);
  const elsewhere = await stage.arrive();
  await elsewhere.open("/login");
  await elsewhere.signIn(ada);
  await elsewhere.isAtHome(ada.name);
  visitor.expectErrors(/status of 401.*\/api\/me/);
  const status = await elsewhere.page.evaluate(async (auth) => {
    const request = { method: "POST", credentials: "include", headers: { "Content-Type": "application/json" } };
    return (await fetch(`${auth}/api/auth/revoke-other-sessions`, { ...request, body: "{}" })).status;
  }, stage.auth);
  assert.equal(status, 200);

  stage.step("the page notices by its stream, although the session's copy in a cookie is still valid");
  await visitor.isAt("/login?redirect=/");
  await visitor.sees("Your session has ended. It expired, or it was revoked in another tab or on another device.");
  await visitor.picture("ended");
  await elsewhere.seesLive();
  await elsewhere.leave();
  await visitor.leave();
}

async function deleted(stage) {
  for (const what of ["sessions", "user"]) {
    stage.step(`the ${what} of a visitor`);
    const ada = newPerson();
    const visitor = await stage.arrive();
    await visitor.signUp(ada);
    await visitor.seesLive();
    visitor.expectErrors(/status of 401/);
    await stage.ask(`delete ${what} ${ada.email}`);
    await visitor.isAt("/login?redirect=/");
    await visitor.sees("Your session has ended.");
    await visitor.leave();
  }
}
