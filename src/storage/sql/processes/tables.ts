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
