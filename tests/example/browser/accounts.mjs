// Signing up and in, the guard, and what goes wrong there.
import assert from "node:assert/strict";

import { newPassword, newPerson } from "./visitor.mjs";

export const stories = {
  "A stranger is asked to sign in, creates an account, and gets to the page that was asked for": guardAndSignUp,
  "A wrong password, and a link that would lead elsewhere after signing in": wrongPassword,
  "An address that has an account already": takenAddress,
  "An address that does not exist": notFound,
};

async function guardAndSignUp(stage) {
  const ada = newPerson();
  const visitor = await stage.arrive();
  await visitor.open("/?from=mail");
  await visitor.isAt("/login?redirect=/?from=mail");
  await visitor.seesHeading("Sign in");
  await visitor.picture("login");

  stage.step("a password that is too short, in a field that has the focus");
  await visitor.page.getByRole("link", { name: "Create an account" }).click();
  await visitor.isAt("/signup?redirect=/?from=mail");
  await visitor.sendSignUp({ ...ada, password: "short" });
  await visitor.sees("Use 8 to 128 characters.");
  await looksInvalid(visitor, visitor.field("Password"));
  await visitor.picture("signup");

  await visitor.sendSignUp(ada);
  if (!stage.confirmsAddresses) await visitor.isAt("/?from=mail");
  await visitor.arrivesAtHome(ada);

  stage.step("the same by signing in");
  await visitor.signOut();
  await visitor.open("/?from=mail");
  await visitor.isAt("/login?redirect=/?from=mail");
  await visitor.signIn(ada);
  await visitor.isAt("/?from=mail");

  stage.step("signed in, the sign-in page leads home");
  for (const path of ["/login", "/signup", "/login?redirect=//evil.example/"]) {
    await visitor.open(path);
    await visitor.isAt("/");
  }
  await visitor.leave();
}

async function wrongPassword(stage) {
  const ada = newPerson();
  const visitor = await stage.arrive();
  await visitor.signUp(ada);
  await visitor.signOut();

  await visitor.open("/login?redirect=//evil.example/");
  visitor.expectErrors(/status of 401.*sign-in\/email/);
  await visitor.signIn({ ...ada, password: newPassword() });
  await visitor.sees("The email address or the password is incorrect.");
  await looksInvalid(visitor, visitor.field("Password"));
  await visitor.picture("wrong password");

  stage.step("the right one leads home, not to the other site");
  await visitor.signIn(ada);
  await visitor.isAt("/");
  await visitor.isAtHome(ada.name);
  await visitor.leave();
}

async function takenAddress(stage) {
  const ada = newPerson();
  const first = await stage.arrive();
  await first.signUp(ada);
  await first.leave();

  const visitor = await stage.arrive();
  await visitor.open("/signup?redirect=/?from=mail");
  visitor.expectErrors(/status of 422.*sign-up\/email/);
  await visitor.sendSignUp({ name: "Somebody Else", email: ada.email, password: newPassword() });
  if (stage.confirmsAddresses) {
    stage.step("nobody learns who has an account: the page is the same as for a new address");
    await visitor.seesHeading("Check your mail");
    await visitor.leave();
    return;
  }
  await visitor.sees("An account with this email address already exists.");
  await looksInvalid(visitor, visitor.field("Email address"));
  await visitor.picture("taken");
  await visitor.page.getByRole("link", { name: "Sign in instead?" }).click();
  await visitor.isAt("/login?redirect=/?from=mail");
  await visitor.leave();
}

async function notFound(stage) {
  const visitor = await stage.arrive();
  await visitor.open("/no/such/page");
  await visitor.seesHeading("Page not found");
  assert.equal(await visitor.page.title(), "Page not found · Orchestrator");
  await visitor.picture("not found");
  await visitor.page.getByRole("link", { name: "Go to the start page" }).click();
  await visitor.isAt("/login?redirect=/");
  await visitor.leave();
}

/** The field has the focus, and a screen reader and the eye can tell that its content was not accepted. */
async function looksInvalid(visitor, field) {
  await visitor.hasFocus(field);
  assert.equal(await field.getAttribute("aria-invalid"), "true");
  const colours = await field.evaluate((input) => {
    const { outlineStyle, outlineColor, borderColor } = getComputedStyle(input);
    const sample = document.createElement("p");
    sample.className = "field-error";
    document.body.append(sample);
    const error = getComputedStyle(sample).color;
    sample.remove();
    return { outlineStyle, outlineColor, borderColor, error };
  });
  assert.equal(colours.outlineStyle, "solid");
  assert.deepEqual([colours.outlineColor, colours.borderColor], [colours.error, colours.error]);
}
