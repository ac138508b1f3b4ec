import { beforeEach, describe, expect, it } from "vitest";
import type { RouteLocationNormalized, Router } from "vue-router";

import { ownPath } from "../src/router/ownPath";
import { ADA, FakeServices, unreachable } from "./fakeServices";
import { freshRouter } from "./fresh";

describe("a path to go back to", () => {
  it.each(["/", "/login", "/a/b?c=d#e", "/?from=mail", "/a%2F%2Fb", "/search?next=//evil.example"])(
    "%s is ours",
    (path) => {
      expect(ownPath(path)).toBe(path);
    },
  );

  it.each([
    "//evil.example",
    "//evil.example/login",
    "/\\evil.example/login",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "\\/evil.example",
    "/\t/evil.example",
    "/\n\\evil.example",
    "\t//evil.example",
    " //evil.example",
    "/.//evil.example",
    "/..//evil.example",
    "/a/..//evil.example",
    "/.\\/evil.example",
    "/%2e//evil.example",
    "https://evil.example",
    "https:evil.example",
    "https:/evil.example",
    "javascript:alert(1)",
    "data:text/html,hello",
    "evil.example",
    "@evil.example",
    "//evil.example@localhost:5175/",
    "//[",
    "",
    undefined,
    null,
    ["/a", "/b"],
  ])("%j is not: Home", (path) => {
    expect(ownPath(path)).toBe("/");
  });

  it("never leaves the site, however it is spelled", () => {
    const parts = ["/", "\\", ".", "\t", "\n", ":", "@", "%2f", "https:", "evil.example", " ", "?", "#"];
    for (const a of parts)
      for (const b of parts)
        for (const c of parts)
          for (const d of parts) {
            const path = ownPath(a + b + c + d);
            expect(new URL(path, "https://ours.example").origin, JSON.stringify(a + b + c + d)).toBe(
              "https://ours.example",
            );
          }
  });
});

describe("the guard", () => {
  let services: FakeServices;

  beforeEach(() => {
    services = new FakeServices();
  });

  async function open(path: string): Promise<Router> {
    const router = await freshRouter();
    await router.push(path);
    return router;
  }

  it.each([
    ["/", "/"],
    ["/?from=mail#top", "/?from=mail#top"],
  ])("takes a stranger from %s to the sign-in page, and knows the way back", async (path, redirect) => {
    const { currentRoute } = await open(path);
    expect(currentRoute.value.name).toBe("Login");
    expect(currentRoute.value.query).toEqual({ redirect });
    expect(document.title).toBe("Sign in · Orchestrator");
  });

  it.each(["/login", "/signup"])("lets a stranger onto %s", async (path) => {
    expect((await open(path)).currentRoute.value.path).toBe(path);
  });

  it("waits for the session before it decides", async () => {
    let answer = (_: Response): void => undefined;
    services.answers.set("/api/auth/get-session", () => new Promise((resolve) => (answer = resolve)));
    const router = await freshRouter();
    const pushed = router.push("/");
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(router.currentRoute.value.matched).toEqual([]);
    services.isSignedIn = true;
    services.answers.clear();
    answer(await fetch("http://auth.test/api/auth/get-session"));
    await pushed;
    expect(router.currentRoute.value.name).toBe("Home");
  });

  it("stays at the address when the auth service does not respond: App.vue shows an error page there", async () => {
    services.answers.set("/api/auth/get-session", unreachable);
    expect((await open("/?from=mail")).currentRoute.value.fullPath).toBe("/?from=mail");
  });

  it("shows that there is no such page at once, without waiting for the session", async () => {
    services.answers.set("/api/auth/get-session", () => new Promise(() => undefined));
    const { currentRoute } = await open("/no/such/page?from=mail");
    expect([currentRoute.value.name, currentRoute.value.fullPath]).toEqual(["NotFound", "/no/such/page?from=mail"]);
    expect(document.title).toBe("Page not found · Orchestrator");
  });

  it.each([
    ["/", "/"],
    ["/login", "/"],
    ["/signup", "/"],
    ["/login?redirect=/?from=mail", "/?from=mail"],
    ["/login?redirect=//evil.example", "/"],
    ["/login?redirect=/%5Cevil.example", "/"],
    ["/signup?redirect=https://evil.example", "/"],
    ["/login?redirect=/login?redirect=//evil.example", "/"],
    ["/login?redirect=/a&redirect=/b", "/"],
  ])("takes who is signed in from %s to %s", async (path, where) => {
    services.isSignedIn = true;
    expect((await open(path)).currentRoute.value.fullPath).toBe(where);
  });

  it("does not hand a hostile path to the router, whatever that would do with it", async () => {
    services.isSignedIn = true;
    const router = await freshRouter();
    const { guard } = await import("../src/router");
    expect(await guard(router.resolve("/login?redirect=//evil.example") as RouteLocationNormalized)).toBe("/");
    expect(await guard(router.resolve("/login?redirect=/?from=mail") as RouteLocationNormalized)).toBe("/?from=mail");
  });

  it("decides again when somebody signs in", async () => {
    const router = await freshRouter();
    const { decideAgain } = await import("../src/router");
    const auth = (await import("../src/stores/authStore")).useAuthStore();
    await router.push("/?from=mail");
    await auth.signIn(ADA.email, ADA.password);
    await decideAgain(router);
    expect(router.currentRoute.value.fullPath).toBe("/?from=mail");
    await auth.signOut();
    await decideAgain(router);
    expect(router.currentRoute.value.fullPath).toBe("/login?redirect=/?from=mail");
  });
});
