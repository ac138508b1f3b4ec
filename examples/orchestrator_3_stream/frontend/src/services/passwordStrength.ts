// The same estimate as the auth service's (passwords.ts), which has the last word. Its dictionaries are large: they are
// loaded when somebody begins to choose a password.

/** 0 to 4. */
export const LOWEST_SCORE = 3;
const ESTIMATED_LENGTH = 64;

export interface Strength {
  score: number;
  advice: string;
}

type Estimator = (password: string, personal: readonly string[]) => Strength;

let loading: Promise<Estimator> | undefined;

/** How hard a password is to guess for somebody who knows what is `personal`. */
export async function strengthOf(password: string, personal: readonly string[]): Promise<Strength> {
  loading ??= load().catch((error: unknown) => {
    loading = undefined;
    throw error;
  });
  return (await loading)(password, personal);
}

async function load(): Promise<Estimator> {
  const [{ ZxcvbnFactory }, common, english] = await Promise.all([
    import("@zxcvbn-ts/core"),
    import("@zxcvbn-ts/language-common"),
    import("@zxcvbn-ts/language-en"),
  ]);
  const estimator = new ZxcvbnFactory({
    dictionary: { ...common.dictionary, ...english.dictionary },
    graphs: common.adjacencyGraphs,
    translations: english.translations,
  });
  return (password, personal) => {
    const words = ["orchestrator", ...personal, ...personal.flatMap((text) => text.split(/[^\p{L}\p{N}]+/u))];
    const { score, feedback } = estimator.check(password.slice(0, ESTIMATED_LENGTH), words.filter(Boolean));
    return { score, advice: [feedback.warning, ...feedback.suggestions].filter(Boolean)[0] ?? "" };
  };
}
