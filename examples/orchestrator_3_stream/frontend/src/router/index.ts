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
    path: "/forgot-password",
    name: "ForgotPassword",
    component: () => import("../views/ForgotPasswordView.vue"),
    meta: { title: "Reset your password" },
  },
  {
    path: "/reset-password",
    name: "ResetPassword",
    component: () => import("../views/ResetPasswordView.vue"),
    meta: { title: "Set a new password" },
  },
  {
    path: "/verify-email",
    name: "VerifyEmail",
    component: () => import("../views/VerifyEmailView.vue"),
    meta: { title: "Confirm your email address" },
  },
  {
    path: "/account/password",
    name: "ChangePassword",
    component: () => import("../views/ChangePasswordView.vue"),
    meta: { requiresAuth: true, title: "Change your password" },
  },
  {
    path: HOME,
    name: "Home",
    component: () => import("../views/HomeView.vue"),
    meta: { requiresAuth: true, title: "Live" },
  },
  {
    path: "/:unknown(.*)*",
    name: "NotFound",
    component: () => import("../views/NotFoundView.vue"),
    meta: { title: "Page not found" },
  },
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

/** Waits for the session before it decides. App.vue shows an error page where the auth service does not respond. */
export async function guard(to: RouteLocationNormalized): Promise<RouteLocationRaw | true> {
  if (!to.meta.requiresAuth && !to.meta.requiresGuest) return true;
  const auth = useAuthStore();
  await auth.whenKnown();
  if (auth.isUnknown) return true;
  if (to.meta.requiresAuth && !auth.isAuthenticated) return { name: "Login", query: { redirect: to.fullPath } };
  if (to.meta.requiresGuest && auth.isAuthenticated) return ownPath(to.query.redirect);
  return true;
}
