// Which passwords are accepted.
//
// Strength stands in for "complexity" (one capital, one digit, one symbol), because P@ssw0rd1 satisfies such a rule and is
// among the first guesses, while four random words do not and would take centuries.
import { ZxcvbnFactory } from "@zxcvbn-ts/core";
import * as common from "@zxcvbn-ts/language-common";
import * as english from "@zxcvbn-ts/language-en";

/** Characters. Better Auth checks them too. */
export const PASSWORD_LENGTH = { min: 8, max: 128 };
// Of 0 to 4: 3 withstands 10^8 guesses. The most common passwords have 0, and 1 with the usual decorations.
const LOWEST_SCORE = 3;
// The time that an estimate takes grows with the length: 128 well-chosen characters took more than a second.
const ESTIMATED_LENGTH = 64;

const estimator = new ZxcvbnFactory({
  dictionary: { ...common.dictionary, ...english.dictionary },
  graphs: common.adjacencyGraphs,
  translations: english.translations,
});

/** Why a password is too easy to guess, as a sentence; undefined for a good one. `personal`: what is known of its owner. */
export function weakness(password: string, personal: readonly string[]): string | undefined {
  const known = personal.map((text) => text.slice(0, ESTIMATED_LENGTH));
  const words = ["orchestrator", ...known, ...known.flatMap((text) => text.split(/[^\p{L}\p{N}]+/u))];
  const { score, feedback } = estimator.check(password.slice(0, ESTIMATED_LENGTH), words.filter(Boolean));
  if (score >= LOWEST_SCORE) return undefined;
  const [advice] = [feedback.warning, ...feedback.suggestions].filter(Boolean);
  return advice ?? "This password is easy to guess. Add more words that are less common.";
}
