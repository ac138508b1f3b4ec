// The environment, checked once: every mistake is named in one message before anything is opened.
import { existsSync } from "node:fs";

import type { AddressSource } from "./clientAddress.js";

if (existsSync(".env")) process.loadEnvFile(".env"); // never replaces a variable that is already set

const mistakes: string[] = [];

const inProduction = process.env.NODE_ENV === "production";

export const settings = {
  inProduction,
  databaseUrl: required("DATABASE_URL"),
  baseUrl: baseUrl("AUTH_BASE_URL"),
  host: process.env.HOST || "127.0.0.1",
  port: port("AUTH_PORT", 9404),
  addressSource: addressSource("TRUSTED_PROXIES", "CLIENT_ADDRESS_HEADER"),
  secret: secret("BETTER_AUTH_SECRET"),
  frontends: origins("FRONTEND_URL"),
  cookieDomain: process.env.COOKIE_DOMAIN || undefined,
  // In production always: counters in memory start again with each restart, and each process has its own.
  rateLimitTable: process.env.RATE_LIMIT_TABLE || (inProduction ? "rate_limit" : undefined),
  // JWTs for an API on another site than this service, to which browsers send no cookie.
  issueJwt: flag("ISSUE_JWT", false),
  requireEmailVerification: flag("REQUIRE_EMAIL_VERIFICATION", inProduction),
  smtp: smtp("SMTP_URL"),
  mailFrom: mailFrom("MAIL_FROM"),
};

if (mistakes.length > 0) {
  console.error(`Cannot start: ${mistakes.join("; ")}. See .env.example.`);
  process.exit(1);
}

function required(name: string): string {
  const value = process.env[name];
  if (!value) mistakes.push(`${name} is not set`);
  return value ?? "";
}

function secret(name: string): string {
  const value = required(name);
  // What Better Auth uses where no secret is set: everybody knows it.
  if (value.includes("better-auth-secret")) mistakes.push(`${name} is Better Auth's public default`);
  // Some readers of .env files take these off and others keep them: the Python API would have another secret.
  else if (value.trim() !== value || /^(["'`]).*\1$/s.test(value))
    mistakes.push(`${name} begins or ends with white space or is in quotes`);
  else if (value && value.length < 32)
    mistakes.push(`${name} has fewer than 32 characters (try: openssl rand -hex 32)`);
  return value;
}

function flag(name: string, otherwise: boolean): boolean {
  const value = process.env[name];
  if (value && !["true", "false"].includes(value)) mistakes.push(`${name} is neither true nor false: ${value}`);
  return value ? value === "true" : otherwise;
}

// Without a mail server links are written to the log, which is for a developer's machine only.
function smtp(name: string): URL | undefined {
  const value = process.env[name];
  if (!value && inProduction) mistakes.push(`${name} is not set, in production (smtp://USER:PASSWORD@HOST:587)`);
  if (!value) return undefined;
  if (URL.canParse(value) && /^smtps?:$/.test(new URL(value).protocol)) return new URL(value);
  mistakes.push(`${name} is not an smtp:// or smtps:// URL`); // without its value, which has a password
  return undefined;
}

function mailFrom(name: string): string {
  const value = process.env[name];
  if (!value && process.env.SMTP_URL) mistakes.push(`${name} is not set: the sender's address`);
  return value || "auth-service@localhost";
}

function port(name: string, otherwise: number): number {
  const value = Number(process.env[name] || otherwise);
  if (!Number.isInteger(value) || value < 1 || value > 65535) mistakes.push(`${name} is not a port number`);
  return value;
}

// Required in production, because a wrong guess is silent: counted by X-Forwarded-For without proxies, a stranger makes
// up a new address for each attempt; counted by the connection behind a proxy, everybody shares one limit.
function addressSource(countName: string, headerName: string): AddressSource {
  const count = process.env[countName];
  const header = process.env[headerName]?.trim().toLowerCase();
  if (count && header) mistakes.push(`${countName} and ${headerName} are both set: set one of them`);
  if (!count && !header && inProduction)
    mistakes.push(
      `neither ${countName} (the number of proxies in front of this service, 0 for none) nor ${headerName} ` +
        "(the header in which a proxy gives the client's address) is set, in production",
    );
  if (header) return { header: checkedHeader(headerName, header) };
  const proxies = Number(count || 0);
  if (!/^\d{0,2}$/.test(count ?? "")) mistakes.push(`${countName} is not a number of proxies: ${count}`);
  return { proxies };
}

function checkedHeader(name: string, header: string): string {
  if (!/^[a-z0-9-]+$/.test(header)) mistakes.push(`${name} is not the name of a header: ${header}`);
  // Lists, which begin with what the client made up.
  if (["x-forwarded-for", "forwarded", "via"].includes(header))
    mistakes.push(`${name} is ${header}, which a client can begin: set TRUSTED_PROXIES instead`);
  return header;
}

// The cookie's name follows from this URL, here and in the Python API. Were "secure" decided by NODE_ENV instead,
// the two could disagree about the name, and nobody would be signed in.
function baseUrl(name: string): string {
  const url = origin(name, required(name));
  if (url && inProduction && !url.startsWith("https://")) mistakes.push(`${name} is not https://, in production`);
  return url;
}

function origins(name: string): string[] {
  const urls = required(name).split(",").map((url) => url.trim());
  const given = urls.filter((url) => url !== "").map((url) => origin(name, url));
  if (inProduction && given.some((url) => url.startsWith("http://")))
    mistakes.push(`${name} has an address that is not https://, in production`);
  return given;
}

function origin(name: string, url: string): string {
  if (!url) return "";
  if (URL.canParse(url) && /^https?:/.test(url)) return new URL(url).origin;
  mistakes.push(`${name} is not an http(s) URL: ${url}`);
  return "";
}
