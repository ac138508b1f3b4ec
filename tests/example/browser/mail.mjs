// What goes through the mail: confirming an address, and setting a new password.
import { newPassword, newPerson, until } from "./visitor.mjs";

export const stories = {
  "An address is confirmed by a link": confirmation,
  "A forgotten password": forgottenPassword,
  "Changing the password signs out the other devices": changedPassword,
  "The mail server is down, and comes back": mailDown,
};

async function confirmation(stage) {
  const ada = newPerson();
  const visitor = await stage.arrive();
  await visitor.open("/signup");
  await visitor.sendSignUp(ada);
  await visitor.seesHeading("Check your mail");
  await visitor.picture("check your mail");

  stage.step("not before it is confirmed");
  visitor.expectErrors(/status of 403.*sign-in\/email/);
  await visitor.open("/login");
  await visitor.signIn(ada);
  await visitor.sees("Confirm your email address before you sign in.");

  const link = await stage.ask(`link ${ada.email}`);
  await visitor.page.goto(link);
  await visitor.seesHeading("Email address confirmed");
  await visitor.picture("confirmed");
  await visitor.page.getByRole("link", { name: "Sign in", exact: true }).click();
  await visitor.signIn(ada);
  await visitor.isAtHome(ada.name);

  stage.step("a link that is spoilt has an error page, with the way to another one");
  const stranger = await stage.arrive();
  stranger.expectErrors(/status of 40[01].*verify-email/);
  await stranger.page.goto(`${link.slice(0, -4)}AAAA`);
  await stranger.seesHeading("This link has expired");
  await stranger.picture("link expired");
  await stranger.forgetAttempts();
  await stranger.send({ "Email address": newPerson().email }, "Send another link");
  await stranger.seesHeading("Check your mail");
  await stranger.leave();
  await visitor.leave();
}

async function forgottenPassword(stage) {
  const ada = newPerson();
  const elsewhere = await stage.arrive();
  await elsewhere.signUp(ada);
  const visitor = await stage.arrive();
  await visitor.open("/login");
  await visitor.page.getByRole("link", { name: "Forgot your password?" }).click();
  await visitor.seesHeading("Reset your password");
  await visitor.picture("forgotten");
  await visitor.forgetAttempts();
  await visitor.send({ "Email address": ada.email }, "Send link");
  await visitor.sees("we have sent a link to it");
  await visitor.picture("link sent");

  const link = await stage.ask(`link ${ada.email}`);
  await visitor.page.goto(link);
  await visitor.seesHeading("Set a new password");
  await visitor.picture("new password");
  elsewhere.expectErrors(/status of 401.*\/api\/me/);
  ada.password = newPassword();
  await visitor.send({ "New password": ada.password }, "Set password");
  await visitor.sees("Your password is changed, and every session has been signed out.");
  await elsewhere.sees("Your session has ended.");

  stage.step("the link again: an error page");
  visitor.expectErrors(/status of 400.*reset-password/);
  await visitor.open("/login");
  await visitor.page.goto(link);
  await visitor.send({ "New password": newPassword() }, "Set password");
  await visitor.seesHeading("This link has expired");
  await visitor.picture("reset link expired");
  await visitor.open("/login");
  await visitor.signIn(ada);
  await visitor.isAtHome(ada.name);
  await elsewhere.leave();
  await visitor.leave();
}

async function changedPassword(stage) {
  const ada = newPerson();
  const elsewhere = await stage.arrive();
  await elsewhere.signUp(ada);
  const visitor = await stage.arrive();
  await visitor.open("/login");
  await visitor.signIn(ada);
  await visitor.isAtHome(ada.name);
  await visitor.page.getByRole("link", { name: "Change password" }).click();
  await visitor.seesHeading("Change your password");

  stage.step("not without the current one");
  visitor.expectErrors(/status of 400.*change-password/);
  await visitor.forgetAttempts();
  await visitor.send({ "Current password": newPassword(), "New password": newPassword() }, "Change password");
  await visitor.sees("Your current password is not correct.");
  await visitor.hasFocus(visitor.field("Current password"));
  await visitor.picture("change password");
  elsewhere.expectErrors(/status of 401.*\/api\/me/);
  await visitor.forgetAttempts();
  const password = newPassword();
  await visitor.send({ "Current password": ada.password, "New password": password }, "Change password");
  await visitor.sees("Your password is changed.");
  await elsewhere.sees("Your session has ended.");
  await visitor.page.getByRole("link", { name: "Back" }).click();
  await visitor.isAtHome(ada.name);
  await elsewhere.leave();
  await visitor.leave();
}

async function mailDown(stage) {
  const ada = newPerson();
  const visitor = await stage.arrive();
  visitor.expectErrors(/status of 503.*sign-up\/email/);
  await stage.ask("stop mail");
  await visitor.open("/signup");
  await visitor.sendSignUp(ada);
  await visitor.sees("We cannot send mail at the moment.");
  await visitor.picture("mail not sent");
  await stage.ask("start mail");

  stage.step("what was typed is still there, and can be sent again");
  // The auth service believes for a few seconds what it found out about the mail server.
  await until(async () => {
    await visitor.forgetAttempts();
    await visitor.button("Create account").click();
    return await visitor.page
      .getByRole("heading", { name: "Check your mail" })
      .waitFor({ timeout: 2_000 })
      .then(
        () => true,
        () => false,
      );
  }, "the mail to be sent");
  await visitor.arrivesAtHome(ada);
  await visitor.leave();
}
