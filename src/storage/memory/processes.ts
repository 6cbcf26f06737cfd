import { own } from "../documents.ts";
import type { Duty, DutyClaim, WorkerProcess } from "../storage.ts";
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

/** @see ProcessStorage.keepProcess */
export function keepProcess({ processes }: MemoryState, process: WorkerProcess, forgetBefore: number): void {
  processes.set(process._id, own(process));
  for (const { _id, seenAt } of processes.values()) if (Date.parse(seenAt) < forgetBefore) processes.delete(_id);
}

/** @see ProcessStorage.listProcesses */
export function listProcesses({ processes }: MemoryState, since: number): readonly WorkerProcess[] {
  return [...processes.values()]
    .filter(({ seenAt }) => Date.parse(seenAt) >= since)
    .sort((one, other) => (one._id < other._id ? -1 : 1));
}
