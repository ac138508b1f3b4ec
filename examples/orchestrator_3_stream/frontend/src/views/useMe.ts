import { onScopeDispose, ref } from "vue";

import { BackendProblem, type Me, whoAmI } from "../services/backend";
import { useAuthStore } from "../stores/authStore";

const AGAIN_MS = 30_000;

/**
 * Who the backend says we are, asked again every half minute and when the page is looked at: a session that was ended
 * somewhere else must not go on looking alive.
 */
export function useMe() {
  const auth = useAuthStore();
  const me = ref<Me>();
  const trouble = ref("");

  async function ask(): Promise<void> {
    try {
      me.value = await whoAmI();
      trouble.value = "";
    } catch (problem) {
      if (!(problem instanceof BackendProblem)) throw problem;
      trouble.value = await sentenceFor(problem);
    }
  }

  async function sentenceFor(problem: BackendProblem): Promise<string> {
    if (problem.status === undefined) return "The backend does not answer. This page asks again by itself.";
    if (problem.status === 503)
      return "The backend cannot reach its database just now. This page asks again by itself.";
    if (problem.status !== 401) return `The backend refused to say who you are (status ${problem.status}).`;
    // If the session is over, this makes everyone see it, and the guard takes the visitor to the sign-in page.
    await auth.recheck();
    return "You are signed in, but the backend does not recognise you: its secret or its base URL is not the auth-service's.";
  }

  const whenSeen = () => {
    if (document.visibilityState === "visible") void ask();
  };
  const timer = setInterval(ask, AGAIN_MS);
  document.addEventListener("visibilitychange", whenSeen);
  onScopeDispose(() => {
    clearInterval(timer);
    document.removeEventListener("visibilitychange", whenSeen);
  });
  void ask();

  return { me, trouble, ask };
}
