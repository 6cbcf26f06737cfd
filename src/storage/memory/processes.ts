import type { Duty, DutyClaim } from "../storage.ts";
import type { MemoryState } from "./state.ts";

/** @see DutyStorage.claimDuty */
export function claimDuty({ duties }: MemoryState, { name, holder, at, until }: DutyClaim): boolean {
  const held = duties.get(name);
  const longest = at + 2 * (until - at);
  if (held !== undefined && held.holder !== holder && held.until > at && held.until <= longest) return false;
  duties.set(name, { holder, until });
  return true;
}

/** @see DutyStorage.releaseDuty */
export function releaseDuty({ duties }: MemoryState, { name, holder }: Duty): void {
  if (duties.get(name)?.holder === holder) duties.delete(name);
}
