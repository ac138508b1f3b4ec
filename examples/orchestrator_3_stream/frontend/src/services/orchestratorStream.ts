// The backend's WebSocket, kept open.
//
// A browser does not tell a page why a handshake was refused: 401, 403 and a server that is down all look alike. So
// after each loss the page sends a request over HTTP, and the response decides whether to reconnect.

import { BackendProblem } from "./backend";

/** What the backend pushes every second. */
export interface OrchestratorEvent {
  load_average: number[];
  uptime_seconds?: number;
  open_sockets?: number;
  pushes?: number;
  greetings?: number;
}

export type StreamState =
  | { is: "connecting" }
  | { is: "live" }
  /** Reconnects in so many seconds; 0: now. */
  | { is: "interrupted"; seconds: number }
  /** The session has ended. With the code and reason of the close frame, if the backend sent one. */
  | { is: "signed-out"; close?: { code: number; reason: string } }
  | { is: "refused" };

export interface StreamOptions {
  url: string;
  /** The protocols to offer in the handshake: called for each connection, because tokens expire. */
  protocols?: () => Promise<string[]>;
  /** Rejects with the backend's status unless it accepts our session. */
  ask: () => Promise<unknown>;
  onEvent: (event: OrchestratorEvent) => void;
  onState: (state: StreamState) => void;
}

const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 30_000;
// The backend sends an event every second: after so long a silence the connection is dead.
const SILENCE_MS = 10_000;
// The backend accepts our session over HTTP and still refuses the socket: once may be a restart, this often is not.
const REFUSALS = 3;
// The backend's close code for a session that was revoked or has expired.
const SESSION_ENDED = 4001;

export class OrchestratorStream {
  private socket: WebSocket | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private losses = 0;
  private refusals = 0;
  private isClosed = false;
  /** Counts calls of `open`; only the last one takes effect. */
  private attempt = 0;

  constructor(private readonly options: StreamOptions) {}

  open(): void {
    if (this.isClosed) return;
    this.options.onState(this.losses > 0 ? { is: "interrupted", seconds: 0 } : { is: "connecting" });
    const { protocols } = this.options;
    if (protocols) void this.connectOffering(protocols);
    else this.connect([]);
  }

  private async connectOffering(protocols: () => Promise<string[]>): Promise<void> {
    const attempt = ++this.attempt;
    const offered = await protocols().catch(() => undefined);
    if (this.isClosed || attempt !== this.attempt) return;
    if (offered) this.connect(offered);
    else void this.lost(false);
  }

  private connect(protocols: string[]): void {
    const socket = new WebSocket(this.options.url, protocols);
    this.socket = socket;
    let hasReceived = false;

    socket.onmessage = ({ data }) => {
      hasReceived = true;
      this.losses = this.refusals = 0;
      this.options.onState({ is: "live" });
      this.expectMore(socket);
      const event = parsed(data);
      if (event) this.options.onEvent(event);
    };
    socket.onclose = ({ code, reason }) => {
      if (socket !== this.socket) return;
      if (code !== SESSION_ENDED) return void this.lost(hasReceived);
      const ended: StreamState = { is: "signed-out", close: { code, reason } };
      // The socket is also closed when the token expires; the HTTP response shows whether the session has ended.
      if (this.options.protocols) return void this.lost(hasReceived, ended);
      this.end(ended);
    };
    this.expectMore(socket);
  }

  /** For good: nothing is reported any more. */
  close(): void {
    this.isClosed = true;
    this.drop();
  }

  /** Now, instead of when the wait is over or not at all. */
  retry(): void {
    if (this.isClosed) return;
    this.drop();
    this.losses = this.refusals = 0;
    this.open();
  }

  private expectMore(socket: WebSocket): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      if (socket !== this.socket) return;
      this.drop();
      void this.lost(true);
    }, SILENCE_MS);
  }

  private async lost(hasReceived: boolean, signedOut: StreamState = { is: "signed-out" }): Promise<void> {
    this.drop();
    this.options.onState({ is: "interrupted", seconds: 0 });
    const status = await statusOf(this.options.ask());
    // Closed, or opened again by `retry`, while we asked.
    if (this.isClosed || this.socket) return;
    this.refusals = status === 200 && !hasReceived ? this.refusals + 1 : 0;
    if (status === 401) return this.options.onState(signedOut);
    if (status === 403 || this.refusals >= REFUSALS) return this.options.onState({ is: "refused" });
    this.wait();
  }

  private end(state: StreamState): void {
    this.drop();
    this.options.onState(state);
  }

  private wait(): void {
    const longest = Math.min(FIRST_WAIT_MS * 2 ** this.losses++, LONGEST_WAIT_MS);
    // Not all pages at once when the backend is back.
    const wait = longest * (0.5 + Math.random() / 2);
    this.options.onState({ is: "interrupted", seconds: Math.ceil(wait / 1_000) });
    this.timer = setTimeout(() => this.open(), wait);
  }

  private drop(): void {
    clearTimeout(this.timer);
    const socket = this.socket;
    this.socket = undefined;
    socket?.close();
  }
}

async function statusOf(answer: Promise<unknown>): Promise<number | undefined> {
  try {
    await answer;
    return 200;
  } catch (problem) {
    return problem instanceof BackendProblem ? problem.status : undefined;
  }
}

function parsed(data: unknown): OrchestratorEvent | undefined {
  try {
    const event: unknown = JSON.parse(String(data));
    return isEvent(event) ? event : undefined;
  } catch {
    return undefined;
  }
}

function isEvent(value: unknown): value is OrchestratorEvent {
  if (typeof value !== "object" || value === null || !("load_average" in value)) return false;
  return Array.isArray(value.load_average) && value.load_average.every((load) => typeof load === "number");
}
