// The backend's WebSocket, kept open.
//
// A browser does not tell a page why a handshake was refused: 401, 403 and a server that is down all look alike. So
// after each loss the backend is asked over HTTP, and that answer decides whether to try again.

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
  /** Tried again in so many seconds; 0: it is being tried. */
  | { is: "interrupted"; seconds: number }
  | { is: "signed-out" }
  | { is: "refused" };

export interface StreamOptions {
  url: string;
  /** Rejects with the backend's status when it would not know us. */
  ask: () => Promise<unknown>;
  onEvent: (event: OrchestratorEvent) => void;
  onState: (state: StreamState) => void;
}

const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 30_000;
// It speaks every second: so long a silence is a connection that died without a word.
const SILENCE_MS = 10_000;
// The backend knows us over HTTP, and yet refuses the socket: once may be a restart, this often it is its opinion.
const REFUSALS = 3;

export class OrchestratorStream {
  private socket: WebSocket | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private losses = 0;
  private refusals = 0;
  private isClosed = false;

  constructor(private readonly options: StreamOptions) {}

  open(): void {
    if (this.isClosed) return;
    this.options.onState(this.losses > 0 ? { is: "interrupted", seconds: 0 } : { is: "connecting" });
    const socket = new WebSocket(this.options.url);
    this.socket = socket;
    let wasHeard = false;

    socket.onmessage = ({ data }) => {
      wasHeard = true;
      this.losses = this.refusals = 0;
      this.options.onState({ is: "live" });
      this.expectMore(socket);
      const event = parsed(data);
      if (event) this.options.onEvent(event);
    };
    socket.onclose = () => {
      if (socket === this.socket) void this.lost(wasHeard);
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

  private async lost(wasHeard: boolean): Promise<void> {
    this.drop();
    this.options.onState({ is: "interrupted", seconds: 0 });
    const status = await statusOf(this.options.ask());
    // Closed, or opened again by `retry`, while we asked.
    if (this.isClosed || this.socket) return;
    this.refusals = status === 200 && !wasHeard ? this.refusals + 1 : 0;
    if (status === 401) return this.options.onState({ is: "signed-out" });
    if (status === 403 || this.refusals >= REFUSALS) return this.options.onState({ is: "refused" });
    this.wait();
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
