// What people receive by mail. No name is in it: whoever signs up chooses that text and the address it is sent to.
import type { Mail } from "./mail.js";
import { settings } from "./settings.js";

export function confirmAddress(to: string, token: string): Mail {
  return {
    to,
    subject: "Confirm your email address",
    text:
      `Follow this link to confirm your email address. It is valid for one hour:\n\n${link("/verify-email", token)}\n\n` +
      "If you did not create an account, ignore this message.\n",
  };
}

export function resetPassword(to: string, token: string): Mail {
  return {
    to,
    subject: "Reset your password",
    text:
      `Follow this link to set a new password. It is valid for one hour:\n\n${link("/reset-password", token)}\n\n` +
      "If you did not ask for this, ignore this message: your password stays as it is.\n",
  };
}

export function alreadyRegistered(to: string): Mail {
  return {
    to,
    subject: "You already have an account",
    text:
      "Somebody tried to create an account with your email address. You already have one: sign in at\n\n" +
      `${page("/login")}\n\nor set a new password at\n\n${page("/forgot-password")}\n\n` +
      "If that was not you, ignore this message: nothing has changed.\n",
  };
}

export function passwordChanged(to: string): Mail {
  return {
    to,
    subject: "Your password was changed",
    text:
      "The password of your account was changed, and all other sessions were signed out.\n\n" +
      `If that was not you, set a new password at once:\n\n${page("/forgot-password")}\n`,
  };
}

// In the fragment, which browsers send to no server: the token is in no access log and in no Referer.
function link(path: string, token: string): string {
  return `${page(path)}#token=${encodeURIComponent(token)}`;
}

function page(path: string): string {
  return `${settings.frontends[0]}${path}`;
}
