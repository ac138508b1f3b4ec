import { onScopeDispose, ref, shallowRef } from "vue";

import { streamProtocols, whoAmI } from "../../services/backend";
import { type OrchestratorEvent, OrchestratorStream, type StreamState } from "../../services/orchestratorStream";
import { settings } from "../../services/settings";
import { useAuthStore } from "../../stores/authStore";
import type { Sample } from "./scale";

const SHOWN_MS = 60_000;

/** The stream, open for as long as the component is mounted. `samples` are the load of the last minute. */
export function useStream() {
  const auth = useAuthStore();
  const state = ref<StreamState>({ is: "connecting" });
  const latest = shallowRef<OrchestratorEvent>();
  const samples = shallowRef<Sample[]>([]);

  const stream = new OrchestratorStream({
    url: settings.streamUrl,
    ...(settings.credential === "jwt" ? { protocols: streamProtocols } : {}),
    ask: whoAmI,
    onEvent: (event) => {
      const at = Date.now();
      latest.value = event;
      samples.value = [...samples.value, { at, value: event.load_average[0] ?? 0 }].filter(
        (sample) => at - sample.at <= SHOWN_MS,
      );
    },
    onState: (now) => {
      state.value = now;
      if (now.is === "signed-out" && !auth.isRevoked) void auth.recheck();
    },
  });
  const retry = () => stream.retry();
  window.addEventListener("online", retry);
  onScopeDispose(() => {
    window.removeEventListener("online", retry);
    stream.close();
  });
  stream.open();

  return { state, samples, latest, retry };
}
