import { computed, nextTick, reactive, type Ref, ref } from "vue";

import { AuthProblem, type ProblemKind } from "../../services/problems";

type Texts<Name extends string> = Record<Name, string>;

export interface FormOptions<Name extends string> {
  names: readonly Name[];
  /** A sentence for each field that cannot be sent as it is, "" for the others. */
  check: (values: Texts<NoInfer<Name>>) => Texts<NoInfer<Name>>;
  send: (values: Texts<NoInfer<Name>>) => Promise<void>;
  /** Which field a refusal is about: the focus goes there. */
  fieldOf: Partial<Record<ProblemKind, NoInfer<Name>>>;
}

/** What both forms do: check, send, say what went wrong, and move the focus to the field that needs correcting. */
export function useForm<Name extends string>({ names, check, send, fieldOf }: FormOptions<Name>) {
  const values = reactive(blank(names)) as Texts<Name>;
  const errors = ref(blank(names)) as Ref<Texts<Name>>;
  const refusal = ref<AuthProblem>();
  const isBusy = ref(false);
  const wrongField = computed(() => refusal.value && fieldOf[refusal.value.kind]);

  async function submit(event: Event): Promise<void> {
    const form = event.currentTarget as HTMLFormElement;
    // Not by `disabled`, which would take the focus from the button.
    if (isBusy.value) return;
    refusal.value = undefined;
    errors.value = check(values);
    const wrong = names.find((name) => errors.value[name]);
    if (wrong) return focus(form, wrong);

    // It stays busy after a success: the next page may still be on its way, and a second press would send it again.
    isBusy.value = true;
    try {
      await send(values);
    } catch (problem) {
      isBusy.value = false;
      if (!(problem instanceof AuthProblem)) throw problem;
      refusal.value = problem;
      await focus(form, wrongField.value);
    }
  }

  return {
    values,
    errors,
    isBusy,
    submit,
    wrongField,
    problem: computed(() => refusal.value?.kind),
    sentence: computed(() => refusal.value?.message ?? ""),
  };
}

/** The server has the last word; this catches a slip of the hand. */
export function looksLikeAnAddress(text: string): boolean {
  return /^\S+@\S+$/.test(text.trim());
}

async function focus(form: HTMLFormElement, name: string | undefined): Promise<void> {
  await nextTick();
  if (name) form.querySelector<HTMLElement>(`[name="${name}"]`)?.focus();
}

function blank<Name extends string>(names: readonly Name[]): Texts<Name> {
  return Object.fromEntries(names.map((name) => [name, ""])) as Texts<Name>;
}
