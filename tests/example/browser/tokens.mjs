// Page and auth service are at localhost, the backend is at 127.0.0.1: another site, which no cookie reaches. The page
// presents a JWT, in a header and as a protocol of its WebSocket.
import assert from "node:assert/strict";

import { newPerson, until } from "./visitor.mjs";

export const stories = {
  "The backend gets a token and no cookie, over HTTP and WebSocket": tokenAndNoCookie,
  "What a browser may offer as a WebSocket's protocols": protocols,
  "A token is refreshed before it expires": refreshed,
  "A token whose key was withdrawn is replaced": replaced,
  "Signing out discards the token, which the backend would still accept": signedOut,
  "Revoking the session ends no token, but no other is issued": revoked,
  "A user who was deleted is refused at once": deleted,
  "The auth service is needed when the page needs a token, and not before": outage,
};

/** What the page sends to the backend and asks the auth service for, while it is at it. */
class Traffic {
  /** Of requests to /api/me: what they present, and with which status they are answered. */
  presented = [];
  statuses = [];
  cookies = [];
  tokenRequests = 0;
  /** Of WebSocket handshakes: the headers of the request and of the response. */
  handshakes = [];
  closedSockets = 0;

  static async of(visitor, page = visitor.page) {
    const traffic = new Traffic();
    const { api, auth } = visitor.stage;
    page.on("request", (request) => {
      if (request.url() === `${auth}/api/auth/token?disableCookieCache=true`) traffic.tokenRequests++;
    });
    page.on("response", async (response) => {
      if (response.url() !== `${api}/api/me` || response.request().method() !== "GET") return;
      traffic.statuses.push(response.status());
      const headers = await response.request().allHeaders();
      traffic.presented.push(headers.authorization);
      traffic.cookies.push(headers.cookie);
    });
    const session = await visitor.context.newCDPSession(page);
    session.on("Network.webSocketHandshakeResponseReceived", ({ response }) => {
      traffic.handshakes.push({ request: lowered(response.requestHeaders), response: lowered(response.headers) });
    });
    session.on("Network.webSocketClosed", () => traffic.closedSockets++);
    await session.send("Network.enable");
    return traffic;
  }

  get lastToken() {
    return this.presented.findLast((value) => value?.startsWith("Bearer "))?.slice("Bearer ".length);
  }
}

function lowered(headers) {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}

function protocolWith(token) {
  return `base64url.bearer.authorization.better-auth.${Buffer.from(token).toString("base64url")}`;
}

async function arrive(stage, options) {
  const ada = newPerson();
  const visitor = await stage.arrive(options);
  const traffic = await Traffic.of(visitor);
  await visitor.signUp(ada);
  await until(() => traffic.lastToken, "the token that was presented");
  return { ada, visitor, traffic };
}

/** The status with which the backend answers a request of the page's origin with this token. Not in the traffic. */
function statusWith(visitor, token) {
  return visitor.page.evaluate(
    async ([api, value]) => (await fetch(`${api}/api/me?`, { headers: { Authorization: `Bearer ${value}` } })).status,
    [visitor.stage.api, token],
  );
}

async function sendAgain(visitor, traffic) {
  const before = traffic.statuses.length;
  await visitor.button("Send again").click();
  await until(() => traffic.statuses.length > before, "another response");
}

async function tokenAndNoCookie(stage) {
  const { ada, visitor, traffic } = await arrive(stage);
  const { page } = visitor;
  const names = (await visitor.context.cookies()).map(({ name, domain }) => `${name} of ${domain}`);
  assert(names.includes("better-auth.session_token of localhost"), `she is signed in by a cookie: ${names}`);
  await visitor.sees("200 OK");
  const body = JSON.parse(await page.locator(".exchange pre").textContent());
  assert.deepEqual([body.user.email, body.session, body.credential], [ada.email, undefined, "jwt"]);
  assert.equal(await visitor.fact("Credential"), "JSON Web Token");
  assert.match(await visitor.fact("Expires in"), /^1[45] min/);
  assert.match(traffic.lastToken, /^[\w-]+\.[\w-]+\.[\w-]+$/);
  assert(traffic.cookies.length > 0 && traffic.cookies.every((cookie) => cookie === undefined), "no cookie");
  assert.equal(traffic.tokenRequests, 1, "the request and the stream share one token");

  stage.step("the WebSocket brings it as a protocol, and the server selects the other one");
  const [{ request, response }] = traffic.handshakes;
  assert.equal(request["sec-websocket-protocol"], `orchestrator, ${protocolWith(traffic.lastToken)}`);
  assert.equal(response["sec-websocket-protocol"], "orchestrator");
  assert.equal(request.cookie, undefined);
  assert.equal(request.authorization, undefined);

  stage.step("the token is nowhere but in memory");
  const kept = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie]));
  assert(!kept.includes(traffic.lastToken), kept);
  await visitor.picture("home with a token");
  await visitor.leave();
}

async function protocols(stage) {
  const { ada, visitor, traffic } = await arrive(stage);
  visitor.expectErrors(/WebSocket connection to .* failed/);
  const cookie = (await visitor.context.cookies()).find(({ name }) => name === "better-auth.session_token").value;
  const open = (...offered) =>
    visitor.page.evaluate(
      ([url, protocols]) =>
        new Promise((resolve) => {
          const socket = new WebSocket(url, protocols);
          socket.onmessage = ({ data }) => {
            resolve([socket.protocol, JSON.parse(data).for]);
            socket.close();
          };
          socket.onerror = () => resolve("refused");
        }),
      [`${stage.api.replace("http", "ws")}/ws`, offered],
    );
  const jwt = protocolWith(traffic.lastToken);
  const accepted = ["orchestrator", ada.name];
  assert.deepEqual(await open("orchestrator", jwt), accepted);
  assert.deepEqual(await open(jwt, "orchestrator"), accepted);
  stage.step("a signed session token too, percent-encoded as in the cookie or not");
  assert.notEqual(cookie, decodeURIComponent(cookie));
  assert.deepEqual(await open("orchestrator", protocolWith(cookie)), accepted);
  assert.deepEqual(await open("orchestrator", protocolWith(decodeURIComponent(cookie))), accepted);
  stage.step("the browser refuses a server that selects none, and the server refuses what is not one good token");
  assert.equal(await open(jwt), "refused");
  assert.equal(await open("orchestrator"), "refused");
  assert.equal(await open("orchestrator", jwt, protocolWith(cookie)), "refused");
  assert.equal(await open("orchestrator", protocolWith(`${traffic.lastToken.slice(0, -8)}AAAAAAAA`)), "refused");
  assert.equal(await open("orchestrator", protocolWith(decodeURIComponent(cookie).split(".")[0])), "refused");
  await visitor.leave();
}

async function refreshed(stage) {
  const ada = newPerson();
  const visitor = await stage.arrive();
  const traffic = await Traffic.of(visitor);
  await visitor.page.clock.install();
  await visitor.signUp(ada);
  await visitor.page.clock.fastForward("13:30");
  await sendAgain(visitor, traffic);
  assert.equal(traffic.tokenRequests, 1, "it is good for a minute more");
  await visitor.page.clock.fastForward("01:00");
  await sendAgain(visitor, traffic);
  await until(() => traffic.tokenRequests === 2, "another token");
  await visitor.isAtHome(ada.name);
  await sendAgain(visitor, traffic);
  assert.equal(traffic.tokenRequests, 2, "which is used from then on");
  assert(traffic.statuses.every((status) => status === 200), `none was refused: ${traffic.statuses}`);
  await visitor.leave();
}

async function replaced(stage) {
  const { ada, visitor, traffic } = await arrive(stage);
  const old = traffic.lastToken;
  await stage.ask("withdraw keys");
  stage.step("the backend reads the keys again when it meets a token of the new one");
  const other = await arrive(stage);
  await other.visitor.leave();
  visitor.expectErrors(/status of 401.*\/api\/me/, /WebSocket connection to .* failed/);
  await until(() => traffic.statuses.includes(401), "a refusal, because the socket was closed");
  await until(() => traffic.statuses.at(-1) === 200, "a new token");
  await visitor.isAtHome(ada.name);
  await visitor.isAt("/");
  await sendAgain(visitor, traffic);
  assert.equal(traffic.statuses.at(-1), 200);
  await until(() => traffic.presented.length === traffic.statuses.length, "all headers");
  assert.notEqual(traffic.lastToken, old);
  assert.equal(traffic.statuses.filter((status) => status === 401).length, 1, "once");
  await visitor.leave();
}

async function signedOut(stage) {
  const { visitor, traffic } = await arrive(stage);
  const other = await visitor.openTab();
  const inTheOther = await Traffic.of(visitor, other);
  await visitor.open("/", other);
  await visitor.seesLive(other);
  visitor.expectErrors(/status of 401.*\/api\/me/, /status of 401.*\/api\/auth\/token/, /WebSocket connection to .* failed/);
  const token = traffic.lastToken;
  await visitor.signOut();
  await visitor.isAt("/login?redirect=/", other);
  await until(() => traffic.closedSockets > 0 && inTheOther.closedSockets > 0, "closed streams");
  assert.equal(await statusWith(visitor, token), 200, "a sign-out does not end a token");

  stage.step("whoever signs in next in this tab is not taken for her");
  const bob = newPerson("Bob");
  const before = traffic.presented.length;
  await visitor.page.getByRole("link", { name: "Create an account" }).click();
  await visitor.sendSignUp(bob);
  await visitor.arrivesAtHome(bob);
  const since = traffic.presented.slice(before);
  assert(since.length > 0 && !since.includes(`Bearer ${token}`), "her token was discarded");
  await visitor.leave();
}

async function revoked(stage) {
  const { ada, visitor, traffic } = await arrive(stage);
  visitor.expectErrors(/status of 401.*\/api\/auth\/token/, /status of 401.*\/api\/me/, /WebSocket connection to .* failed/);
  await visitor.button("Revoke this session").click();
  await visitor.sees("because a JSON Web Token does not depend on a session");
  await sendAgain(visitor, traffic);
  assert.equal(traffic.statuses.at(-1), 200);
  await visitor.seesLive();
  const issued = await visitor.page.evaluate(async (auth) => {
    return (await fetch(`${auth}/api/auth/token?disableCookieCache=true`, { credentials: "include" })).status;
  }, stage.auth);
  assert.equal(issued, 401);
  await visitor.picture("revoked with a token");

  stage.step("and signing in again");
  await visitor.button("Sign in again").click();
  await visitor.isAt("/login?redirect=/");
  await visitor.signIn(ada);
  await visitor.isAtHome(ada.name);
  await visitor.leave();
}

async function deleted(stage) {
  const { ada, visitor, traffic } = await arrive(stage);
  const token = traffic.lastToken;
  visitor.expectErrors(/status of 401/, /WebSocket connection to .* failed/);
  assert.equal(await statusWith(visitor, token), 200);
  await stage.ask(`delete user ${ada.email}`);
  assert.equal(await statusWith(visitor, token), 401, "the next request");
  stage.step("the stream is closed, the page asks for another token, gets none, and leads to the sign-in form");
  await visitor.isAt("/login?redirect=/");
  await visitor.sees("Your session has ended.");
  await visitor.leave();
}

async function outage(stage) {
  const ada = newPerson();
  const visitor = await stage.arrive();
  const traffic = await Traffic.of(visitor);
  await visitor.page.clock.install();
  await visitor.signUp(ada);
  visitor.expectErrors(/ERR_CONNECTION_REFUSED/, /ERR_FAILED/, /status of 401.*\/api\/me/);
  await stage.ask("stop auth-service");
  await sendAgain(visitor, traffic);
  assert.equal(traffic.statuses.at(-1), 200, "the token that the page has is enough");
  await visitor.page.clock.fastForward("14:30");
  await visitor.sees("The page needs a new token, but the sign-in service is not responding.");
  await visitor.isAt("/");
  await stage.ask("start auth-service");
  await visitor.page.clock.fastForward("00:30");
  await visitor.isAtHome(ada.name);
  await until(() => traffic.tokenRequests > 1 && traffic.statuses.at(-1) === 200, "another token");
  await visitor.leave();
}
