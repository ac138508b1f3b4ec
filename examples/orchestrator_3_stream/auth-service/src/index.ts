import { serve } from "@hono/node-server";
import { getConnInfo } from "@hono/node-server/conninfo";
import { Hono } from "hono";
import { cors } from "hono/cors";

import { auth } from "./auth.js";
import { ADDRESS_HEADER, clientAddress } from "./clientAddress.js";
import { checkTables } from "./db.js";
import { withRetryTime } from "./rateLimits.js";
import { settings } from "./settings.js";

const app = new Hono();

// The frontend is another origin: its browser sends and keeps cookies only for exactly these, with credentials.
app.use(
  "/api/auth/*",
  cors({
    origin: settings.frontends,
    credentials: true,
    allowMethods: ["GET", "POST", "OPTIONS"],
    allowHeaders: ["Content-Type"],
  }),
);

app.on(["GET", "POST"], "/api/auth/*", async (context) => {
  const request = context.req.raw;
  // Another spelling of a path would be counted for itself, and so have a rate limit of its own.
  if (/\/\/|\/$|%/.test(new URL(request.url).pathname)) return context.notFound();
  const { remote } = getConnInfo(context);
  const headers = new Headers(request.headers);
  headers.set(ADDRESS_HEADER, clientAddress(settings.addressSource, headers, remote.address ?? ""));
  return withRetryTime(await auth.handler(new Request(request, { headers })));
});

app.get("/health", (context) => context.json({ status: "ok" }));

await checkTables();
serve({ fetch: app.fetch, hostname: settings.host, port: settings.port }, () =>
  console.log(`auth-service for ${settings.baseUrl} listens on ${settings.host}:${settings.port}`),
);
