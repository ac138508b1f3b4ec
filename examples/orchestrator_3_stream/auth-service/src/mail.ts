// Mail over SMTP; on a developer's machine without SMTP_URL, into the log.
import nodemailer from "nodemailer";

import { settings } from "./settings.js";

const TIMEOUT_MS = 10_000;
// So many attempts at sending one message, and so long before the second one; the waits double.
const ATTEMPTS = 5;
const FIRST_WAIT_MS = 2_000;
// A verdict on the mail server is used for so long.
const CHECKED_FOR_MS = 1_000;

export interface Mail {
  to: string;
  subject: string;
  text: string;
}

const transport = settings.smtp && connect(settings.smtp);
let checked = { at: 0, isUp: Promise.resolve(true) };

/**
 * Sends in the background. A request that waited for the mail server would take longer where there is an account, and
 * so tell everybody which addresses have one.
 */
export function send(mail: Mail): void {
  if (transport) void deliver(mail, ATTEMPTS, FIRST_WAIT_MS);
  else console.log(`mail to ${mail.to}: ${mail.subject}\n${mail.text}`);
}

/** Whether the mail server accepts connections. Asked before an account is looked up, so it says nothing about any. */
export function isAvailable(): Promise<boolean> {
  if (!transport) return Promise.resolve(true);
  if (Date.now() - checked.at > CHECKED_FOR_MS) {
    const isUp = transport.verify().then(
      () => true,
      (error: Error) => {
        console.error(`mail: the server of SMTP_URL does not accept mail: ${error.message}`);
        return false;
      },
    );
    checked = { at: Date.now(), isUp };
  }
  return checked.isUp;
}

async function deliver(mail: Mail, attempts: number, wait: number): Promise<void> {
  try {
    await transport?.sendMail({ from: settings.mailFrom, ...mail });
  } catch (error) {
    // Never the text: its link signs somebody in.
    console.error(`mail: "${mail.subject}" was not sent: ${error instanceof Error ? error.message : String(error)}`);
    if (attempts > 1) setTimeout(() => void deliver(mail, attempts - 1, wait * 2), wait).unref();
  }
}

function connect(url: URL) {
  const secure = url.protocol === "smtps:";
  const user = decodeURIComponent(url.username);
  return nodemailer.createTransport({
    host: url.hostname,
    port: Number(url.port) || (secure ? 465 : 587),
    secure,
    // A password is never sent in plain text: without TLS, an attacker in between would only have to hide STARTTLS.
    ...(user ? { auth: { user, pass: decodeURIComponent(url.password) }, requireTLS: !secure } : {}),
    connectionTimeout: TIMEOUT_MS,
    greetingTimeout: TIMEOUT_MS,
    socketTimeout: TIMEOUT_MS,
  });
}
