const LIMIT_MS = 15_000;

/** `fetch` that gives up: a service that hangs must not leave the page waiting for ever. */
export const fetchInTime: typeof fetch = (input, init) => {
  const limit = AbortSignal.timeout(LIMIT_MS);
  return fetch(input, { ...init, signal: init?.signal ? AbortSignal.any([init.signal, limit]) : limit });
};
