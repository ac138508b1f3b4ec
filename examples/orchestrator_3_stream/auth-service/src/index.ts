import { serve } from "@hono/node-server";
import { Hono } from "hono";
import { cors } from "hono/cors";

import { auth } from "./auth.js";
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

app.on(["GET", "POST"], "/api/auth/*", (context) => auth.handler(context.req.raw));

app.get("/health", (context) => context.json({ status: "ok" }));

// On a developer's machine nobody else needs to reach it; in a container a proxy does.
const hostname = settings.inProduction ? "0.0.0.0" : "127.0.0.1";
serve({ fetch: app.fetch, hostname, port: settings.port }, () =>
  console.log(`auth-service for ${settings.baseUrl} listens on ${hostname}:${settings.port}`),
);
