import { flushPromises, mount, type VueWrapper } from "@vue/test-utils";
import { createPinia, type Pinia, setActivePinia } from "pinia";
import { vi } from "vitest";
import { createMemoryHistory, type Router } from "vue-router";

import type { useAuthStore } from "../src/stores/authStore";

/** The store over a client that has asked nothing yet, as in a page just opened. Imports after this see the same one. */
export async function freshStore(pinia: Pinia = createPinia()): Promise<ReturnType<typeof useAuthStore>> {
  vi.resetModules();
  setActivePinia(pinia);
  return (await import("../src/stores/authStore")).useAuthStore();
}

export async function freshRouter(pinia?: Pinia): Promise<Router> {
  await freshStore(pinia);
  return (await import("../src/router")).createAppRouter(createMemoryHistory());
}

/** The whole application at `path`. */
export async function openPage(path: string): Promise<{ page: VueWrapper; router: Router }> {
  const pinia = createPinia();
  const router = await freshRouter(pinia);
  const { default: App } = await import("../src/App.vue");
  await router.push(path);
  const page = mount(App, { global: { plugins: [pinia, router] }, attachTo: document.body });
  await router.isReady();
  await flushPromises();
  return { page, router };
}
