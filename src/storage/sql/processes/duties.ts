import { type Transaction, execute, rowOf } from "../database.ts";
import type { Duty, DutyClaim } from "../../storage.ts";

/** @see DutyStorage.claimDuty */
export function claimDuty({ name, holder, at, until }: DutyClaim): Transaction<boolean> {
  const longest = at + 2 * (until - at);
  return function* () {
    const claimed = yield* rowOf(
      `insert into poundlock_duties (name, holder, held_until) values (?, ?, ?)
        on conflict (name) do update set holder = excluded.holder, held_until = excluded.held_until
        where poundlock_duties.holder = excluded.holder
          or poundlock_duties.held_until <= ? or poundlock_duties.held_until > ?
        returning name`,
      ...[name, holder, until, at, longest],
    );
    return claimed !== undefined;
  };
}

/** @see DutyStorage.releaseDuty */
export function releaseDuty({ name, holder }: Duty): Transaction<void> {
  return function* () {
    yield* execute(`delete from poundlock_duties where name = ? and holder = ?`, name, holder);
  };
}
