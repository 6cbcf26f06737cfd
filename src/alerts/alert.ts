/** What is alerted of. */
export const alertKinds = ["failing", "overdue", "paused", "openFailures", "queueAge", "more"] as const;
/**
 * One of {@link alertKinds}. `failing`: runs of a flow fail; `overdue`: none of its runs began, though two due times have
 * passed; `paused`: one of its imports gets no records; `openFailures`: it has too many; `queueAge`: a run waits too long;
 * `more`: there are more incidents than are alerted of one by one.
 */
export type AlertKind = (typeof alertKinds)[number];

/** What an alert may say of its incident. */
export const alertStates = ["firing", "reminder", "resolved"] as const;
/** One of {@link alertStates}: it has begun, is still there, or is over. */
export type AlertState = (typeof alertStates)[number];

/** The record that an alert is: plain JSON, frozen; times are ISO 8601 UTC. */
export interface Alert {
  /** Its key: `{incident}/firing`, `{incident}/reminder-1` or `{incident}/resolved`. Sent again, it is the same. */
  readonly _id: string;
  /** What all alerts of an incident have in common, for receivers that close what they have opened. At most 600 characters. */
  readonly incident: string;
  readonly kind: AlertKind;
  readonly state: AlertState;
  /** The flow; absent for what is of all flows. */
  readonly _flowId?: string;
  /** The import that is paused. */
  readonly _importId?: string;
  /** The flow's. */
  readonly _integrationId?: string;
  /** When it began; for `openFailures`, `queueAge` and `more` when it was first seen. */
  readonly since: string;
  /**
   * `failing`: the runs that have failed in a row, as far as they are remembered. `openFailures`: those of the flow.
   * `queueAge`: the runs that wait. `more`: how many more there may be. Otherwise, and once it is over, absent.
   */
  readonly count?: number;
  /** One line. */
  readonly title: string;
  /** A few sentences. For `failing` and `paused` with the message of the error, in which there may be data of a record. */
  readonly text: string;
  /** Where the dashboard shows it: begins with a slash, to follow the dashboard's own address. */
  readonly dashboardPath: string;
}

/** What an incident is of; a flow and import have one of each kind at a time. */
export interface Subject {
  readonly kind: AlertKind;
  readonly _flowId?: string;
  readonly _importId?: string;
}

/** An incident that is open. */
export interface Incident extends Subject {
  readonly _integrationId?: string;
  /** @see Alert.since */
  readonly since: string;
  /** When the newest alert of it was made. */
  readonly alertedAt: string;
  /** Reminders so far. */
  readonly reminders: number;
}

/** What is open, and what of it is about to be sent. */
export interface AlertCheckpoint {
  readonly incidents: readonly Incident[];
  /** They were committed before anything of them was sent, so that what is sent again after a crash is the same. */
  readonly pending?: readonly Alert[];
}

/** One for each {@link Subject}. */
export function subjectKey({ kind, _flowId, _importId }: Subject): string {
  return JSON.stringify([kind, _flowId, _importId]);
}

/** @see Alert.incident */
export function incidentId({ kind, since, _flowId, _importId }: Subject & Pick<Incident, "since">): string {
  return [_flowId, kind, _importId, since].filter((part) => part !== undefined).join("/");
}
