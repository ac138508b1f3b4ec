import { defineStore } from "pinia";
import { computed, ref, watch } from "vue";

import { discardAccessToken } from "../services/accessToken";
import {
  revokeSession,
  signIn as signInAt,
  signOut as signOutAt,
  signUp as signUpAt,
  useSession,
} from "../services/authClient";
import { accepted } from "../services/accepted";
import { AuthProblem } from "../services/problems";

// Better Auth's client would ask for the session by itself, a little later; we ask at once, and wait for the answer.
const ASK_OURSELVES = { disableSignal: true };
const PAST_THE_CACHE = { query: { disableCookieCache: true } };

/** Why a visitor is no longer signed in. */
export type Departure = "signed-out" | "signed-out-in-another-tab" | "ended";

// Better Auth's client notifies the other tabs that they should fetch the session again, but not why it ended.
const SIGN_OUTS = "sign-outs";

/**
 * Who is signed in. Better Auth's client asks at start, when the window gets the focus back, and when another tab
 * signs out. `signIn`, `signUp` and `signOut` throw an AuthProblem.
 */
export const useAuthStore = defineStore("auth", () => {
  const state = useSession();
  const isBusy = ref(false);
  const departure = ref<Departure | null>(null);
  /** Revoked from this page, which stays open to show what happens next. */
  const isRevoked = ref(false);

  const signOuts = new BroadcastChannel(SIGN_OUTS);
  /** The session that one of the tabs signed out of last. */
  let signedOutOf: string | undefined;

  const session = computed(() => state.value.data?.session ?? null);
  const user = computed(() => state.value.data?.user ?? null);
  const isAuthenticated = computed(() => session.value !== null);
  const isLoading = computed(() => isBusy.value || state.value.isPending);
  /** The auth service did not respond, which is not the same as signed out. Stays so until it does. */
  const isUnknown = ref(false);

  watch(
    state,
    ({ data, isPending, error }) => {
      if (!isPending) isUnknown.value = data === null && error !== null && error.status !== 401;
    },
    { immediate: true, flush: "sync" },
  );

  // The token must not be sent for the next user who signs in, in this tab or another.
  watch(() => session.value?.id, discardAccessToken, { flush: "sync" });

  // The message and the end of the session can arrive in either order.
  let ended: string | undefined;
  signOuts.onmessage = ({ data }: MessageEvent<string>) => {
    signedOutOf = data;
    if (departure.value === "ended" && ended === data) departure.value = "signed-out-in-another-tab";
  };

  watch(
    () => session.value?.id,
    (id, before) => {
      isRevoked.value = false;
      ended = before;
      if (id) departure.value = null;
      // Not by ourselves. (An error alone does not take the session away.)
      else if (!isBusy.value) departure.value = ended && ended === signedOutOf ? "signed-out-in-another-tab" : "ended";
    },
    { flush: "sync" },
  );

  async function signIn(email: string, password: string): Promise<void> {
    await busily(async () => {
      await accepted(() => signInAt.email({ email, password, fetchOptions: ASK_OURSELVES }));
      await entered();
    });
  }

  /** Whether the visitor is signed in now; if not, they have to confirm their address first. */
  async function signUp(name: string, email: string, password: string): Promise<boolean> {
    return busily(async () => {
      const { token } = await accepted(() => signUpAt.email({ name, email, password, fetchOptions: ASK_OURSELVES }));
      if (token) await entered();
      return token !== null;
    });
  }

  async function signOut(): Promise<void> {
    await busily(async () => {
      const id = session.value?.id;
      // Here the client's own signal is wanted: it tells the other tabs.
      await accepted(() => signOutAt());
      if (id) signOuts.postMessage(id);
      await until(() => !isAuthenticated.value || state.value.error !== null);
      if (isAuthenticated.value) throw new AuthProblem("unreachable");
      departure.value = "signed-out";
    });
  }

  /**
   * Deletes the session in the database without signing out here: the page stays open to show how the backend
   * responds, until `recheck`.
   */
  async function revoke(): Promise<void> {
    const token = session.value?.token;
    if (!token) return;
    await accepted(() => revokeSession({ token, fetchOptions: ASK_OURSELVES }));
    isRevoked.value = true;
  }

  /** Queries the database, not the session's five-minute copy in a cookie. */
  async function recheck(): Promise<void> {
    await state.value.refetch(PAST_THE_CACHE);
    await whenKnown();
  }

  /** Resolves when it is known whether somebody is signed in, or that nobody can tell. */
  async function whenKnown(): Promise<void> {
    await until(() => !state.value.isPending);
  }

  async function entered(): Promise<void> {
    await state.value.refetch();
    await whenKnown();
    if (!isAuthenticated.value) throw new AuthProblem(isUnknown.value ? "unreachable" : "no-cookie");
  }

  async function busily<Result>(work: () => Promise<Result>): Promise<Result> {
    isBusy.value = true;
    try {
      return await work();
    } finally {
      isBusy.value = false;
    }
  }

  return {
    session,
    user,
    isAuthenticated,
    isLoading,
    isUnknown,
    isRevoked,
    departure,
    signIn,
    signUp,
    signOut,
    revoke,
    recheck,
    whenKnown,
  };
});

async function until(condition: () => boolean): Promise<void> {
  if (condition()) return;
  await new Promise<void>((resolve) => {
    const stop = watch(
      condition,
      () => {
        stop();
        resolve();
      },
      { flush: "sync" },
    );
  });
}
