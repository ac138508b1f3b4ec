import { computed, onScopeDispose, ref, shallowRef } from "vue";

import { whoAmI } from "../../services/backend";
import { type OrchestratorEvent, OrchestratorStream, type StreamState } from "../../services/orchestratorStream";
import { settings } from "../../services/settings";
import { useAuthStore } from "../../stores/authStore";

const REMEMBERED = 60;

/** The stream, open for as long as the component is there. */
export function useStream() {
  const auth = useAuthStore();
  const state = ref<StreamState>({ is: "connecting" });
  const events = shallowRef<OrchestratorEvent[]>([]);

  const stream = new OrchestratorStream({
    url: settings.streamUrl,
    ask: whoAmI,
    onEvent: (event) => {
      events.value = [...events.value, event].slice(-REMEMBERED);
    },
    onState: (now) => {
      state.value = now;
      if (now.is === "signed-out") void auth.recheck();
    },
  });
  const retry = () => stream.retry();
  window.addEventListener("online", retry);
  onScopeDispose(() => {
    window.removeEventListener("online", retry);
    stream.close();
  });
  stream.open();

  return { state, events, latest: computed(() => events.value.at(-1)), retry };
}
