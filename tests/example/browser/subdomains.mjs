// What is different where page, auth service and backend are at three hosts: whose cookie it is, and who is sent it.
import { hostilePage, signUpAndConfirm } from "./production.mjs";

export const stories = {
  "A new visitor signs in, with a cookie for every subdomain": signUpAndConfirm,
  "A page of a fourth subdomain is sent the cookie, and gets no response to read and no socket": hostilePage,
};
