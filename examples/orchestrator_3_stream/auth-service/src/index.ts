import { serve } from "@hono/node-server";
import { getConnInfo } from "@hono/node-server/conninfo";
import { Hono } from "hono";
import { cors } from "hono/cors";

import { auth } from "./auth.js";
import { ADDRESS_HEADER, clientAddress } from "./clientAddress.js";
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

app.on(["GET", "POST"], "/api/auth/*", (context) => {
  const { remote } = getConnInfo(context);
  const headers = new Headers(context.req.raw.headers);
  headers.set(ADDRESS_HEADER, clientAddress(settings.addressSource, headers, remote.address ?? ""));
  return auth.handler(new Request(context.req.raw, { headers }));
});

app.get("/health", (context) => context.json({ status: "ok" }));

serve({ fetch: app.fetch, hostname: settings.host, port: settings.port }, () =>
  console.log(`auth-service for ${settings.baseUrl} listens on ${settings.host}:${settings.port}`),
);
