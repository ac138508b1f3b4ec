// What the page shows while a part of the stack is down, and that it continues by itself afterwards.
import { newPerson } from "./visitor.mjs";

export const stories = {
  "The backend is down, and comes back": backendDown,
  "The backend's database is down, and comes back": databaseDown,
  "The auth service is down, and comes back": authServiceDown,
};

// A proxy's 502 carries no CORS headers, so on subdomains the browser keeps it from the page.
const LOST_CONNECTION = /ERR_(CONNECTION_REFUSED|CONNECTION_RESET|EMPTY_RESPONSE|FAILED)|status of 50[24]|CORS policy/;
const LOST_SOCKET = /WebSocket connection to .* failed/;

async function backendDown(stage) {
  const ada = newPerson();
  const visitor = await stage.arrive();
  await visitor.signUp(ada);
  visitor.expectErrors(LOST_CONNECTION, LOST_SOCKET);
  await stage.ask("stop backend");
  await visitor.sees("The connection is lost.");
  await visitor.button("Send again").click();
  await visitor.sees("The backend is not responding.");
  await visitor.picture("backend down later");

  stage.step("a page that is opened meanwhile");
  await visitor.page.reload();
  await visitor.seesHeading("The backend is not responding");
  await visitor.picture("backend down");

  await stage.ask("start backend");
  await visitor.isAtHome(ada.name);
  await visitor.leave();
}

async function databaseDown(stage) {
  const ada = newPerson();
  const visitor = await stage.arrive();
  await visitor.signUp(ada);
  visitor.expectErrors(/status of 503.*\/api\/me/, /status of 500.*get-session/, LOST_SOCKET);
  await stage.ask("stop database of backend");
  await visitor.button("Send again").click();
  await visitor.sees("Nobody is signed out");
  await visitor.page.reload();
  // An auth service that counts attempts in the same database is down with it.
  const down = stage.limitsRates ? "The sign-in service is unavailable" : "The backend cannot reach its database";
  await visitor.seesHeading(down);
  await visitor.picture("database down");
  await stage.ask("start database of backend");
  await visitor.isAtHome(ada.name);
  await visitor.leave();
}

async function authServiceDown(stage) {
  const ada = newPerson();
  const first = await stage.arrive();
  await first.signUp(ada);
  first.expectErrors(LOST_CONNECTION);
  const stranger = await stage.arrive();
  stranger.expectErrors(LOST_CONNECTION);
  await stage.ask("stop auth-service");

  stage.step("signed in: the page cannot tell, and signs nobody out");
  await first.page.reload();
  await first.seesHeading("The sign-in service is unavailable");
  await first.isAt("/");
  await first.picture("auth service down");

  stage.step("at the form");
  await stranger.open("/login");
  await stranger.sees("this page cannot tell whether you are signed in");
  await stranger.signIn(ada);
  await stranger.sees("Check your connection, or try again in a moment.");
  await stranger.picture("auth service down at sign-in");

  await stage.ask("start auth-service");
  await first.isAtHome(ada.name);
  await stranger.button("Try again").click();
  await stranger.page.getByText("this page cannot tell").waitFor({ state: "hidden" });
  await stranger.signIn(ada);
  await stranger.isAtHome(ada.name);
  await first.leave();
  await stranger.leave();
}
