import { isDeepStrictEqual } from "node:util";
import type { ImportPlace, StoredCheckpoint } from "../../model/place.ts";

/** Where one reading begins, and for which imports. */
export interface PassStart {
  readonly _importIds: readonly string[];
  /** Absent: from the start. */
  readonly checkpoint?: StoredCheckpoint;
  /** The run whose id default keys are made of, and the pages before. */
  readonly _runId: string;
  readonly pages: number;
  /** True: it catches up with other imports, and yields to the flow's next run. */
  readonly catchesUp: boolean;
}

/** What decides where readings begin. */
export interface PassRule {
  /** The run that reads, for readings that begin. */
  readonly _runId: string;
  readonly now: number;
  /** Positions from before that many milliseconds are given up. */
  readonly positionMaxAgeMs: number;
}

/**
 * The readings of a run: one for all imports that stand at the same place; first those that never fell behind, each
 * group in the order of the flow's imports.
 */
export function passesOf(places: ReadonlyMap<string, ImportPlace>, rule: PassRule): readonly PassStart[] {
  const passes: PassStart[] = [];
  for (const [_importId, place] of places) {
    const start = startOf(place, rule);
    const index = passes.findIndex((pass) => isSamePlace(pass, start));
    const pass = passes[index];
    if (pass === undefined) passes.push({ _importIds: [_importId], ...start });
    else
      passes[index] = {
        ...pass,
        _importIds: [...pass._importIds, _importId],
        catchesUp: pass.catchesUp && start.catchesUp,
      };
  }
  return passes.sort((one, other) => Number(one.catchesUp) - Number(other.catchesUp));
}

function startOf(place: ImportPlace, rule: PassRule): Omit<PassStart, "_importIds"> {
  const { behind = false, position } = place;
  const goesOn = position !== undefined && rule.now - position.at <= rule.positionMaxAgeMs;
  const checkpoint = (goesOn ? position.checkpoint : undefined) ?? place.checkpoint;
  return {
    ...(checkpoint === undefined ? {} : { checkpoint }),
    _runId: goesOn ? position._runId : rule._runId,
    pages: goesOn ? position.pages : 0,
    catchesUp: behind,
  };
}

function isSamePlace(one: Omit<PassStart, "_importIds">, other: Omit<PassStart, "_importIds">): boolean {
  return (
    one._runId === other._runId && one.pages === other.pages && isDeepStrictEqual(one.checkpoint, other.checkpoint)
  );
}
