import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { startPostgres, connectionTo } from "../support/postgres-server.ts";
import { type Place, openPlace } from "../support/shared-database.ts";
import { HostProcess, type Program } from "./child-process.ts";
import type { OnceReport } from "./once-child.ts";
import { type OncePoint, type OnceSetting, createTables, recordsPerPage } from "./once-host.ts";

const leaseMs = 60_000;

/** Makes a database of its own for each case. */
export interface PlaceSource {
  readonly name: string;
  create(folder: string): Promise<Place>;
  stop(): Promise<void>;
}

export const sqlitePlaces: PlaceSource = {
  name: "SQLite",
  create: async (folder) => ({ kind: "libsql", port: 0, name: join(folder, "sums.db") }),
  stop: async () => undefined,
};

/** Places on a PostgreSQL that is started for them, and flushes what it commits. */
export async function postgresPlaces(): Promise<PlaceSource> {
  const server = await startPostgres([]);
  let databases = 0;
  return {
    name: "PostgreSQL",
    async create() {
      const name = `once_${++databases}`;
      const admin = new pg.Client(connectionTo(server.port));
      await admin.connect();
      await admin.query(`create database ${name}`);
      await admin.end();
      return { kind: "PostgreSQL", port: server.port, name };
    },
    stop: server.stop,
  };
}

/** What was found after one host was killed at each of these steps, one after the other, and the last ran to its end. */
export interface KilledOnce {
  readonly points: readonly OncePoint[];
  readonly ended: string;
  /** Numbers whose effects are not exactly one. */
  readonly wrong: readonly { readonly n: number; readonly effects: number }[];
  readonly total: number;
  readonly expected: number;
}

/** Kills a host at each of `steps`, counted anew in each process, then lets it end; a step beyond its end kills nobody. */
export async function killAt(
  program: Program,
  source: PlaceSource,
  pages: number,
  steps: readonly number[],
): Promise<KilledOnce> {
  const folder = await mkdtemp(join(tmpdir(), "poundlock-once-"));
  try {
    const place = await source.create(folder);
    const { database, close } = openPlace(place);
    await createTables(database);
    const points: OncePoint[] = [];
    let ended: string | undefined;
    for (const [nth, haltAt] of [...steps, undefined].entries()) {
      const setting = { place, file: join(folder, "flows.db"), pages, aheadMs: nth * leaseMs };
      const end = await endOf(program, haltAt === undefined ? setting : { ...setting, haltAt });
      if (end.what === "error") throw new Error(end.message);
      if (end.what === "halted") points.push(end.point);
      else {
        ended = end.how;
        break;
      }
    }
    const found = await effectsOf(pages, (text) => database.query(text));
    await close();
    return { points, ended: ended ?? "", ...found };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function endOf(program: Program, setting: OnceSetting): Promise<OnceReport> {
  const host = new HostProcess<OnceReport>(program, setting);
  await host.until(() => host.reports.length > 0);
  if (host.reports[0]?.what === "halted") await host.kill();
  else await host.ended;
  return host.reports[0] ?? { what: "error", message: "it said nothing" };
}

async function effectsOf(pages: number, query: (text: string) => Promise<readonly Record<string, unknown>[]>) {
  const numbers = Array.from({ length: pages }, (_, page) =>
    Array.from({ length: recordsPerPage }, (_, nth) => (page + 1) * 10 + nth),
  ).flat();
  const counts = new Map((await query("select n, count(*) as effects from effects group by n")).map(({ n, effects }) => [Number(n), Number(effects)])); // prettier-ignore
  const [sum] = await query("select total from sums");
  return {
    wrong: numbers.map((n) => ({ n, effects: counts.get(n) ?? 0 })).filter(({ effects }) => effects !== 1),
    total: Number(sum?.total),
    expected: numbers.reduce((total, n) => total + n, 0),
  };
}
