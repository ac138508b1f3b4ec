import vue from "@vitejs/plugin-vue";
import { loadEnv } from "vite";
import { defineConfig } from "vitest/config";

const ADDRESSES = { VITE_API_BASE_URL: "http", VITE_WEBSOCKET_URL: "ws", VITE_AUTH_URL: "http" };
// By name: at 127.0.0.1 the page would be another site than the services, and its cookies would go nowhere.
const ONE_PLACE = { host: "localhost", port: 5175, strictPort: true };

export default defineConfig(({ mode, isPreview }) => {
  // What is built already has its addresses in it.
  if (mode !== "test" && !isPreview) checkSettings(loadEnv(mode, import.meta.dirname, "VITE_"));
  return {
    plugins: [vue()],
    server: ONE_PLACE,
    preview: ONE_PLACE,
    // The dictionaries of zxcvbn, which are loaded when somebody chooses a password.
    build: { chunkSizeWarningLimit: 1500 },
    test: {
      environment: "happy-dom",
      environmentOptions: { happyDOM: { url: "http://localhost:5175/" } },
      include: ["tests/**/*.test.ts"],
      restoreMocks: true,
      unstubGlobals: true,
      env: {
        VITE_API_BASE_URL: "http://api.test",
        VITE_WEBSOCKET_URL: "ws://api.test/ws",
        VITE_AUTH_URL: "http://auth.test",
      },
    },
  };
});

// A page that was built without its addresses would send its requests to the visitor's own machine.
function checkSettings(env: Record<string, string>): void {
  const mistakes = Object.entries(ADDRESSES)
    .filter(([name, scheme]) => !new RegExp(`^${scheme}s?://.`).test(env[name] ?? ""))
    .map(([name, scheme]) => `${name} is not set to a ${scheme}:// or ${scheme}s:// address`);
  if (!["", "cookie", "jwt"].includes(env.VITE_CREDENTIAL ?? "")) mistakes.push("VITE_CREDENTIAL is neither cookie nor jwt");
  if (mistakes.length > 0) throw new Error(`${mistakes.join("; ")}. See .env.example.`);
}
