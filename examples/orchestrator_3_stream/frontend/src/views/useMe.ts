import { computed, onScopeDispose, ref, shallowRef } from "vue";

import { BackendProblem, type Me, type MeResponse, whoAmI } from "../services/backend";
import { useAuthStore } from "../stores/authStore";

const REFRESH_MS = 30_000;
const RETRY_MS = 5_000;

/** Why the backend did not return a user. */
export type Trouble = "down" | "no-token" | "store-down" | "revoked" | "unrecognised" | "refused";

/**
 * Who the backend says we are. Asked again every half minute and when the page becomes visible, so that a session that
 * was revoked elsewhere does not keep looking alive; every few seconds while there is trouble.
 */
export function useMe() {
  const auth = useAuthStore();
  /** The latest one; undefined when the backend did not respond. */
  const response = shallowRef<MeResponse>();
  const me = shallowRef<Me>();
  const trouble = ref<Trouble>();
  const isBusy = ref(false);
  let timer: ReturnType<typeof setTimeout> | undefined;
  let isDisposed = false;

  async function ask(): Promise<void> {
    clearTimeout(timer);
    isBusy.value = true;
    try {
      response.value = await whoAmI();
      me.value = response.value.user;
      trouble.value = undefined;
    } catch (problem) {
      if (!(problem instanceof BackendProblem)) throw problem;
      response.value = problem.response;
      trouble.value = await troubleOf(problem);
    } finally {
      isBusy.value = false;
    }
    clearTimeout(timer);
    if (!isDisposed) timer = setTimeout(ask, trouble.value && !auth.isRevoked ? RETRY_MS : REFRESH_MS);
  }

  async function troubleOf({ status, lacksToken }: BackendProblem): Promise<Trouble> {
    if (lacksToken) return "no-token";
    // 502 and 504 come from a proxy in front of a backend that does not respond.
    if (status === undefined || status === 502 || status === 504) return "down";
    if (status === 503) return "store-down";
    if (status !== 401) return "refused";
    if (auth.isRevoked) return "revoked";
    // If the session has ended, this updates the store, and the guard leads to the sign-in page.
    await auth.recheck();
    return "unrecognised";
  }

  const whenVisible = () => {
    if (document.visibilityState === "visible") void ask();
  };
  document.addEventListener("visibilitychange", whenVisible);
  onScopeDispose(() => {
    isDisposed = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", whenVisible);
  });
  void ask();

  return { response, me, session: computed(() => response.value?.session), trouble, isBusy, ask };
}
