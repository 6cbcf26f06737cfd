/** Where a process can be stopped, and what must be true of its run then. */
export interface Point {
  /** How often a run passes it. */
  readonly each: "run" | "page" | "import";
  /** Pages of the run that are committed when it stands there at page `page` of `pages`; undefined: reading is ahead of that. */
  readonly committed: (page: number, pages: number) => number | undefined;
  /** Whether some process has the run's lease there, so that it dies with it. */
  readonly held: boolean;
  /** Whether the page may have been written without being committed. */
  readonly inFlight: boolean;
}

const none = () => 0;
const before = (page: number) => page - 1;
const all = (_page: number, pages: number) => pages;

/** Every point of a run, in the order in which its code passes them. */
export const points = {
  queued: { each: "run", committed: none, held: false, inFlight: false },
  taken: { each: "run", committed: none, held: true, inFlight: false },
  "page read": { each: "page", committed: () => undefined, held: true, inFlight: true },
  mapped: { each: "import", committed: before, held: true, inFlight: true },
  "before write": { each: "import", committed: before, held: true, inFlight: true },
  "mid write": { each: "import", committed: before, held: true, inFlight: true },
  "lease renew": { each: "page", committed: before, held: true, inFlight: true },
  "lease renewed": { each: "page", committed: before, held: true, inFlight: true },
  written: { each: "import", committed: before, held: true, inFlight: true },
  "before commit": { each: "page", committed: before, held: true, inFlight: true },
  "mid commit": { each: "page", committed: before, held: true, inFlight: true },
  committed: { each: "page", committed: (page) => page, held: true, inFlight: false },
  "before end": { each: "run", committed: all, held: true, inFlight: false },
  ended: { each: "run", committed: all, held: false, inFlight: false },
} as const satisfies Readonly<Record<string, Point>>;

/** One of {@link points}, or one of those that taking records in passes. */
export type PointName = keyof typeof points | IntakePoint;
/** What taking in one page of records passes. */
export type IntakePoint = "before append" | "mid append" | "appended";

/** One time that a process passes a point. */
export interface Place {
  readonly point: PointName;
  /** 1 for the first of its run; 0 if the point is not one of a page. */
  readonly page: number;
  readonly _importId?: string;
  /** In the middle of a transaction: how many of its statements have changed something; 1 or more. */
  readonly statement?: number;
}

/** Every place that a run of so many pages into these imports passes; `statements`: at which to stop within a commit. */
export function placesOf(
  pages: number,
  _importIds: readonly string[],
  statements: readonly number[] = [],
): readonly Place[] {
  const numbers = Array.from({ length: pages }, (_, index) => index + 1);
  return (Object.keys(points) as (keyof typeof points)[]).flatMap((point): Place[] => {
    if (points[point].each === "run") return [{ point, page: 0 }];
    if (point === "mid commit")
      return numbers.flatMap((page) => statements.map((statement) => ({ point, page, statement })));
    if (points[point].each === "page") return numbers.map((page) => ({ point, page }));
    return numbers.flatMap((page) => _importIds.map((_importId) => ({ point, page, _importId })));
  });
}

/** For titles of tests. */
export function nameOf({ point, page, _importId, statement }: Place): string {
  const where = [point, page === 0 ? "" : `page ${page}`, _importId ?? ""];
  return [...where, statement === undefined ? "" : `statement ${statement}`].filter((part) => part !== "").join(", ");
}

/** True if it is the same place. */
export function isSame(one: Place, other: Place): boolean {
  return (
    one.point === other.point &&
    one.page === other.page &&
    one._importId === other._importId &&
    one.statement === other.statement
  );
}
