import { createParser } from "eventsource-parser";
import { currentTime, after, delay, every } from "../browser/clock.ts";
import { isSignInNeeded } from "../browser/session.ts";
import { type ReadonlySignal, effect, signal } from "../view.ts";
import { send } from "./client.ts";
import type { ShownRun } from "./documents.ts";

/** What has happened: an event of the API, or a reason to read everything anew. */
export interface LiveEvent {
  /** Such as `run:progress`; `gap`: events may be missing; `return`: the page is looked at again; `tick`: 15 s passed. */
  readonly name: string;
  readonly data: {
    readonly run?: ShownRun;
    readonly flow?: { readonly _id: string };
    readonly total?: number;
    readonly _importId?: string;
    readonly attempt?: number;
    readonly delayMs?: number;
    readonly message?: string;
  };
}

/** How current the page is. */
export type LiveState = "connecting" | "live" | "polling" | "offline";

const state = signal<LiveState>("connecting");
const lostSince = signal<number | undefined>(undefined);

/** How current the page is. */
export const liveState: ReadonlySignal<LiveState> = state;
/** Since when the server cannot be reached; epoch milliseconds. */
export const offlineSince: ReadonlySignal<number | undefined> = lostSince;

type LiveListener = (event: LiveEvent) => void;
const listeners = new Set<LiveListener>();

/** Calls the listener for everything that happens. Returns how to stop listening. */
export function onLive(listener: LiveListener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function emit(name: string, data: LiveEvent["data"] = {}): void {
  for (const listener of [...listeners]) listener({ name, data });
}

/** Whether anything that is shown may have changed without an event that says what. */
export const isReload = ({ name }: LiveEvent): boolean => name === "gap" || name === "return" || name === "tick";

let lastEventId: string | undefined;
let connection: AbortController | undefined;

const hiddenMs = 30_000;
/** A stream that lasts less is none to come back to at once: one that ends as soon as it is opened. */
const shortMs = 5_000;
const pollMs = 15_000;

/** Keeps the page current while it is looked at: one stream of events, and a reload every 15 s. */
export function goLive(): void {
  let leave: (() => void) | undefined;
  document.addEventListener("visibilitychange", () => {
    leave?.();
    if (document.hidden) leave = after(hiddenMs, disconnect);
    else if (connection === undefined) connect("return");
    else emit("return");
  });
  // Events are those of one process where several share a storage.
  every(pollMs, () => {
    if (!document.hidden && !isSignInNeeded.value) emit("tick");
  });
  effect(() => {
    if (isSignInNeeded.value) disconnect();
    else if (connection === undefined && !document.hidden) connect();
  });
}

function disconnect(): void {
  connection?.abort();
  connection = undefined;
}

function connect(reason?: "return"): void {
  connection = new AbortController();
  if (reason !== undefined) emit(reason);
  void listen(connection.signal);
}

async function listen(until: AbortSignal): Promise<void> {
  const isLeft = () => until.aborted;
  for (let failures = 0; !isLeft();) {
    const since = currentTime();
    const end = await read(until).catch(() => "failed" as const);
    if (isLeft()) return;
    const isShort = end === "ended" && currentTime() - since < shortMs;
    failures = end === "failed" || isShort ? failures + 1 : 0;
    if (end === "refused") {
      state.value = "polling";
      return;
    }
    if (end === "failed") {
      state.value = "offline";
      lostSince.value ??= currentTime();
    } else state.value = isShort ? "polling" : "connecting";
    await delay(Math.min(1_000 * 2 ** failures, 15_000), until);
  }
}

/** Reads one stream to its end. */
async function read(until: AbortSignal): Promise<"ended" | "refused"> {
  const headers = lastEventId === undefined ? {} : { "last-event-id": lastEventId };
  const response = await send("GET", "/events", { headers, signal: until });
  if (!response.ok || response.body === null) {
    if (response.status >= 500) throw new Error(`status ${response.status}`);
    return "refused";
  }
  const wasLost = lostSince.value !== undefined;
  state.value = "live";
  lostSince.value = undefined;
  if (wasLost) emit("return");
  const parser = createParser({
    onEvent({ id, event = "message", data }) {
      if (id !== undefined) lastEventId = id;
      emit(event, JSON.parse(data) as LiveEvent["data"]);
    },
  });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return "ended";
    parser.feed(value);
  }
}
