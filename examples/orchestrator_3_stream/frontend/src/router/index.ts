import {
  createRouter,
  type RouteLocationNormalized,
  type RouteLocationRaw,
  type Router,
  type RouterHistory,
} from "vue-router";

import { useAuthStore } from "../stores/authStore";
import { HOME, ownPath } from "./ownPath";

declare module "vue-router" {
  interface RouteMeta {
    title?: string;
    requiresAuth?: boolean;
    requiresGuest?: boolean;
  }
}

export const routes = [
  {
    path: "/login",
    name: "Login",
    component: () => import("../views/LoginView.vue"),
    meta: { requiresGuest: true, title: "Sign in" },
  },
  {
    path: "/signup",
    name: "Signup",
    component: () => import("../views/SignupView.vue"),
    meta: { requiresGuest: true, title: "Create an account" },
  },
  {
    path: HOME,
    name: "Home",
    component: () => import("../views/HomeView.vue"),
    meta: { requiresAuth: true, title: "Live" },
  },
  { path: "/:unknown(.*)*", redirect: HOME },
];

export function createAppRouter(history: RouterHistory): Router {
  const router = createRouter({ history, routes });
  router.beforeEach(guard);
  router.afterEach((to) => {
    document.title = to.meta.title ? `${to.meta.title} · Orchestrator` : "Orchestrator";
  });
  return router;
}

/** When somebody signs in or out: is this still the page for them? */
export async function decideAgain(router: Router): Promise<void> {
  await router.replace({ ...router.currentRoute.value, force: true } as RouteLocationRaw);
}

/** Waits until it is known who is there; only then does it decide. */
export async function guard(to: RouteLocationNormalized): Promise<RouteLocationRaw | true> {
  const auth = useAuthStore();
  await auth.whenKnown();
  if (to.meta.requiresAuth && !auth.isAuthenticated) return { name: "Login", query: { redirect: to.fullPath } };
  if (to.meta.requiresGuest && auth.isAuthenticated) return ownPath(to.query.redirect);
  return true;
}
