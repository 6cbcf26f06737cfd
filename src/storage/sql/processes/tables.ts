import type { Dialect } from "../database.ts";

/** Who does what for all. */
export function dutyTable({ text }: Dialect): readonly string[] {
  return [
    `create table poundlock_duties (
      name ${text} primary key,
      holder ${text} not null,
      held_until bigint not null)`,
  ];
}

/** Which processes there are, and what they wake each other for. */
export function processTables({ identity, text, unlogged }: Dialect): readonly string[] {
  return [
    `create table poundlock_processes (
      id ${text} primary key,
      seen_at bigint not null,
      doc ${text} not null)`,
    `create index poundlock_processes_seen on poundlock_processes (seen_at)`,

    `create ${unlogged}table poundlock_wakes (
      seq ${identity},
      flow_id ${text} not null unique,
      export_id ${text} not null)`,
  ];
}
