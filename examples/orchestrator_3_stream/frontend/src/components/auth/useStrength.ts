import { computed, shallowRef, watch } from "vue";

import { AuthProblem, PASSWORD_LENGTH } from "../../services/problems";
import { LOWEST_SCORE, type Strength, strengthOf } from "../../services/passwordStrength";

/** The strength of a password while it is typed; `personal` is what is known of its owner. */
export function useStrength(password: () => string, personal: () => string[]) {
  const latest = shallowRef<Strength & { of: string }>();

  watch([password, personal], async () => {
    const text = password();
    if (!text) return void (latest.value = undefined);
    // Without an estimate, the auth service decides alone.
    const strength = await strengthOf(text, personal()).catch(() => undefined);
    if (strength && text === password()) latest.value = { ...strength, of: text };
  });

  const strength = computed(() => (latest.value?.of === password() ? latest.value : undefined));

  /** What is wrong with the password, as a sentence; "" if nothing is known to be. */
  function problem(text: string): string {
    if (text.length < PASSWORD_LENGTH.min || text.length > PASSWORD_LENGTH.max)
      return new AuthProblem("bad-password").message;
    const isWeak = strength.value?.of === text && strength.value.score < LOWEST_SCORE;
    return isWeak ? strength.value?.advice || new AuthProblem("weak-password").message : "";
  }

  return { strength, problem };
}
