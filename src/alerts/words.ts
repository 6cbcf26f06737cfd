import type { RunError } from "../index.ts";
import type { AlertKind, AlertState } from "./alert.ts";

/** What a title is about. */
interface TitleFacts {
  readonly state: AlertState;
  readonly importId: string;
  readonly count: number;
}

const verb = (state: AlertState): string => ({ firing: "is", reminder: "is still", resolved: "is no longer" })[state];

/** The title of an alert: of the flow's name and the facts. */
export const titles: Readonly<Record<AlertKind, (name: string, facts: TitleFacts) => string>> = {
  failing: (name, { state }) => `${name} ${verb(state)} failing`,
  overdue: (name, { state }) => `${name} ${verb(state)} overdue`,
  paused: (name, { importId, state }) => `${name}: import ${importId} ${verb(state)} paused`,
  openFailures: (name, { count, state }) => {
    if (state === "resolved") return `${name} no longer has too many open failures`;
    return `${name} ${state === "firing" ? "has" : "still has"} ${plural(count, "open failure", "open failures")}`;
  },
  queueAge: (_, { state }) =>
    `Runs ${{ firing: "wait", reminder: "still wait", resolved: "no longer wait" }[state]} too long`,
  more: (_, { count, state }) => {
    if (state === "resolved") return "All incidents are alerted of again";
    return `${state === "firing" ? "Up to" : "Still up to"} ${plural(count, "more incident", "more incidents")}`;
  },
};

/** The number with its word. */
export function plural(count: number, one: string, many: string): string {
  return `${count} ${count === 1 ? one : many}`;
}

/** An instant to the minute, in UTC. */
export function momentInWords(at: string | number): string {
  return `${new Date(at).toISOString().slice(0, 16).replace("T", " ")} UTC`;
}

/** A duration in minutes, or in seconds if it is shorter. */
export function minutesInWords(ms: number): string {
  if (ms < 60_000) return plural(Math.round(ms / 1_000), "second", "seconds");
  return plural(Math.round(ms / 60_000), "minute", "minutes");
}

/** An error as one sentence. */
export function errorInWords({ code, message }: RunError): string {
  return `${code}: ${message}${/[.!?]$/.test(message) ? "" : "."}`;
}
