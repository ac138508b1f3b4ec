// The environment, checked once: every mistake is named in one message before anything is opened.
import { existsSync } from "node:fs";

if (existsSync(".env")) process.loadEnvFile(".env"); // never replaces a variable that is already set

const mistakes: string[] = [];

const inProduction = process.env.NODE_ENV === "production";

export const settings = {
  inProduction,
  databaseUrl: required("DATABASE_URL"),
  baseUrl: baseUrl("AUTH_BASE_URL"),
  port: port("AUTH_PORT", 9404),
  secret: secret("BETTER_AUTH_SECRET"),
  frontends: origins("FRONTEND_URL"),
  cookieDomain: process.env.COOKIE_DOMAIN || undefined,
  rateLimitTable: process.env.RATE_LIMIT_TABLE || undefined,
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
  if (value && value.length < 32) mistakes.push(`${name} has fewer than 32 characters (try: openssl rand -hex 32)`);
  return value;
}

function port(name: string, otherwise: number): number {
  const value = Number(process.env[name] || otherwise);
  if (!Number.isInteger(value) || value < 1 || value > 65535) mistakes.push(`${name} is not a port number`);
  return value;
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
  return urls.filter((url) => url !== "").map((url) => origin(name, url));
}

function origin(name: string, url: string): string {
  if (!url) return "";
  if (URL.canParse(url) && /^https?:/.test(url)) return new URL(url).origin;
  mistakes.push(`${name} is not an http(s) URL: ${url}`);
  return "";
}
