import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { BackendProblem } from "../src/services/backend";
import { type OrchestratorEvent, OrchestratorStream, type StreamState } from "../src/services/orchestratorStream";

const EVENT = { load_average: [0.5, 0.25, 0.125], uptime_seconds: 1 };

class FakeSocket {
  static readonly all: FakeSocket[] = [];
  onmessage?: (event: { data: unknown }) => void;
  onclose?: (event: { code: number; reason: string }) => void;
  isClosed = false;

  constructor(
    readonly url: string,
    readonly protocols: string[],
  ) {
    FakeSocket.all.push(this);
  }

  close(): void {
    this.isClosed = true;
  }

  says(data: unknown): void {
    this.onmessage?.({ data });
  }

  /** Without a close frame, as after a refused handshake: the browser reports 1006 and no reason. */
  async fails(code = 1006, reason = ""): Promise<void> {
    this.onclose?.({ code, reason });
    await vi.advanceTimersByTimeAsync(0);
  }
}

function problem(status: number): BackendProblem {
  return new BackendProblem({ url: "http://api.test/api/me", status, milliseconds: 1, body: undefined });
}

let ask: () => Promise<unknown>;
let events: OrchestratorEvent[];
let states: StreamState[];
let stream: OrchestratorStream;

const sockets = FakeSocket.all;
const last = () => sockets.at(-1) as FakeSocket;
const state = () => states.at(-1)?.is;

/** Until it tries again; no longer, or its silence would be a loss of its own. */
async function tryAgain(): Promise<void> {
  const before = sockets.length;
  for (let waited = 0; sockets.length === before && waited < 31_000; waited += 100)
    await vi.advanceTimersByTimeAsync(100);
  expect(sockets).toHaveLength(before + 1);
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("WebSocket", FakeSocket);
  sockets.length = 0;
  events = [];
  states = [];
  ask = () => Promise.resolve();
  stream = new OrchestratorStream({
    url: "ws://api.test/ws",
    ask: () => ask(),
    onEvent: (event) => events.push(event),
    onState: (now) => states.push(now),
  });
  stream.open();
});

afterEach(() => {
  stream.close();
  vi.useRealTimers();
});

describe("a stream that is well", () => {
  it("hands on what it hears", () => {
    expect(last().url).toBe("ws://api.test/ws");
    expect(state()).toBe("connecting");
    last().says(JSON.stringify(EVENT));
    expect(state()).toBe("live");
    expect(events).toEqual([EVENT]);
  });

  it.each(["", "{", "null", "[]", "{}", '{"load_average": 1}', '{"load_average": ["1"]}'])("passes over %j", (data) => {
    last().says(data);
    expect(events).toEqual([]);
    expect(state()).toBe("live");
  });
});

describe("a stream that is lost", () => {
  beforeEach(() => {
    ask = () => Promise.reject(new BackendProblem(undefined));
  });

  it("is opened again, and waits longer each time, half a minute at most", async () => {
    vi.spyOn(Math, "random").mockReturnValue(1);
    const waits: number[] = [];
    for (let count = 1; count <= 8; count++) {
      await last().fails();
      const [now] = states.slice(-1);
      waits.push(now?.is === "interrupted" ? now.seconds : NaN);
      await tryAgain();
    }
    expect(waits).toEqual([1, 2, 4, 8, 16, 30, 30, 30]);
  });

  it("begins again with short waits once it was heard", async () => {
    vi.spyOn(Math, "random").mockReturnValue(1);
    for (let count = 0; count < 4; count++) {
      await last().fails();
      await tryAgain();
    }
    last().says(JSON.stringify(EVENT));
    await last().fails();
    expect(states.at(-1)).toEqual({ is: "interrupted", seconds: 1 });
  });

  it("goes on when the backend has trouble of its own", async () => {
    ask = () => Promise.reject(problem(503));
    await last().fails();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(sockets).toHaveLength(2);
  });

  it("is noticed by its silence", async () => {
    last().says(JSON.stringify(EVENT));
    await vi.advanceTimersByTimeAsync(9_000);
    expect(state()).toBe("live");
    await vi.advanceTimersByTimeAsync(1_000);
    expect(last().isClosed).toBe(true);
    expect(state()).toBe("interrupted");
  });

  it("is opened at once when asked for", async () => {
    await last().fails();
    stream.retry();
    expect(sockets).toHaveLength(2);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(sockets).toHaveLength(2);
  });
});

describe("a stream that is over", () => {
  it.each([
    [401, "signed-out"],
    [403, "refused"],
  ])("stops when the backend says %i", async (status, end) => {
    last().says(JSON.stringify(EVENT));
    ask = () => Promise.reject(problem(status));
    await last().fails();
    expect(state()).toBe(end);
    await vi.advanceTimersByTimeAsync(600_000);
    expect(sockets).toHaveLength(1);
  });

  it("stops without a question when the backend closes it because the session has ended", async () => {
    let questions = 0;
    ask = () => Promise.resolve(questions++);
    last().says(JSON.stringify(EVENT));
    await last().fails(4001, "session ended");
    expect(states.at(-1)).toEqual({ is: "signed-out", close: { code: 4001, reason: "session ended" } });
    await vi.advanceTimersByTimeAsync(600_000);
    expect([sockets.length, questions]).toEqual([1, 0]);
  });

  it("stops when the backend accepts our session and still refuses the socket three times", async () => {
    for (let count = 0; count < 2; count++) {
      await last().fails();
      expect(state()).toBe("interrupted");
      await tryAgain();
    }
    await last().fails();
    expect(state()).toBe("refused");
    await vi.advanceTimersByTimeAsync(600_000);
    expect(sockets).toHaveLength(3);
  });

  it("reports nothing once it is closed", async () => {
    let answer = (): void => undefined;
    ask = () => new Promise<void>((resolve) => (answer = resolve));
    const first = last();
    await first.fails();
    stream.close();
    const before = states.length;
    answer();
    await vi.advanceTimersByTimeAsync(600_000);
    stream.retry();
    expect(sockets).toHaveLength(1);
    expect(states).toHaveLength(before);
  });
});

describe("a stream that brings a token", () => {
  let offers: () => Promise<string[]>;

  beforeEach(async () => {
    stream.close();
    sockets.length = 0;
    offers = () => Promise.resolve(["orchestrator", "token"]);
    stream = new OrchestratorStream({
      url: "ws://api.test/ws",
      protocols: () => offers(),
      ask: () => ask(),
      onEvent: (event) => events.push(event),
      onState: (now) => states.push(now),
    });
    stream.open();
    await vi.advanceTimersByTimeAsync(0);
  });

  it("offers it at each attempt", async () => {
    expect(last().protocols).toEqual(["orchestrator", "token"]);
    offers = () => Promise.resolve(["orchestrator", "newer"]);
    await last().fails();
    await tryAgain();
    expect(last().protocols).toEqual(["orchestrator", "newer"]);
  });

  it("opens again with another token when it was closed because its token ended", async () => {
    last().says(JSON.stringify(EVENT));
    await last().fails(4001, "session ended");
    expect(state()).toBe("interrupted");
    await tryAgain();
    last().says(JSON.stringify(EVENT));
    expect(state()).toBe("live");
  });

  it("has ended when the backend accepts no other token", async () => {
    ask = () => Promise.reject(problem(401));
    await last().fails(4001, "session ended");
    expect(states.at(-1)).toEqual({ is: "signed-out", close: { code: 4001, reason: "session ended" } });
  });

  it("waits while there is no token to be had", async () => {
    offers = () => Promise.reject(new Error("no token"));
    ask = () => Promise.reject(new BackendProblem(undefined));
    await last().fails();
    await vi.advanceTimersByTimeAsync(5_000);
    expect(sockets).toHaveLength(1);
    expect(state()).toBe("interrupted");
    offers = () => Promise.resolve(["orchestrator", "token"]);
    await tryAgain();
  });

  it("opens one socket when it is retried while it waits for a token, and none when it is closed", async () => {
    const waiting: ((offered: string[]) => void)[] = [];
    offers = () => new Promise((resolve) => waiting.push(resolve));
    stream.retry();
    stream.retry();
    expect(waiting).toHaveLength(2);
    waiting.forEach((resolve, index) => resolve([String(index)]));
    await vi.advanceTimersByTimeAsync(0);
    expect(sockets.slice(1).map(({ protocols }) => protocols)).toEqual([["1"]]);
    stream.retry();
    stream.close();
    waiting.at(-1)?.(["2"]);
    await vi.advanceTimersByTimeAsync(0);
    expect(sockets).toHaveLength(2);
  });
});
