import { AuthProblem, problemOf, type Refusal } from "./problems";

interface Answer<Data> {
  data: Data;
  error: Refusal | null;
}

/** What the auth service responded with. Throws an AuthProblem when it refused or did not respond. */
export async function accepted<Data>(ask: () => Promise<Answer<Data>>): Promise<NonNullable<Data>> {
  const { data, error } = await ask().catch((cause: unknown) => {
    throw new AuthProblem("unreachable", { cause });
  });
  if (error) throw problemOf(error);
  // Better Auth's client gives one of the two.
  return data as NonNullable<Data>;
}
