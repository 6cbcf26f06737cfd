import { inspect } from "node:util";
import mysql2 from "mysql2/promise";
import pg from "pg";
import { FlowRegistry, Scheduler } from "poundlock";
import { connection, httpImport, sqlLimits } from "poundlock/connectors/http";
import { refreshToken, sqlTokens } from "poundlock/connectors/oauth";
import { type SqlDatabase, mysql, postgres, sqlExport, sqlImport } from "poundlock/connectors/sql";
import { describe, expect, inject, onTestFinished, test } from "vitest";
import { mariadbAt } from "../../support/mariadb-server.ts";
import { connectionTo } from "../../support/postgres-server.ts";
import { startServer } from "../http/server.ts";

/** In every password, token and connection string of these tests, and in nothing else. */
const mark = "S3CR3T-MARK";

const mariadb = inject("mariadb");

/** A database that refuses its password, and one that is there, with a table of tokens that nobody can read. */
const databases: readonly {
  readonly name: string;
  readonly missing?: string;
  readonly open: (isRight: boolean) => SqlDatabase;
}[] = [
  {
    name: "PostgreSQL",
    open(isRight) {
      const { host, port, user } = connectionTo(inject("postgresPort"));
      // Which has no such user: the server trusts the one there is.
      const wrong = {
        connectionString: `postgresql://nobody:${mark}@${host}:${port}/postgres?application_name=${mark}`,
      };
      const pool = new pg.Pool(isRight ? { host, port, user, password: "postgres", max: 2 } : wrong);
      pool.on("error", () => undefined);
      onTestFinished(() => pool.end());
      return postgres(pool);
    },
  },
  {
    name: "MariaDB",
    ...("missing" in mariadb ? { missing: mariadb.missing } : {}),
    open(isRight) {
      const port = "port" in mariadb ? mariadb.port : 0;
      const pool = mysql2.createPool({ ...mariadbAt(port, "mysql"), ...(isRight ? {} : { password: mark }) });
      onTestFinished(() => pool.end());
      return mysql(pool);
    },
  },
];

/** All that is logged, stored and emitted while a flow of these runs. */
async function shownBy(exports: object, imports: object): Promise<string> {
  const lines: unknown[] = [];
  const line = (...given: unknown[]) => void lines.push(given);
  const registry = new FlowRegistry({ exports, imports } as never);
  const scheduler = new Scheduler(registry, {
    ...{ maxAttempts: 1, retryDelayMs: 1 },
    logger: { debug: line, info: line, warn: line, error: line },
  });
  onTestFinished(() => scheduler.stop());
  for (const event of ["run:failed", "run:completed", "import:paused", "run:retrying"] as const)
    scheduler.on(event, (payload) => line(event, payload));
  await scheduler.start();
  const flow = await registry.create({ name: "a", _exportId: "from", _importId: "into" });
  const { _id } = await scheduler.run(flow._id);
  const run = await scheduler.waitFor(_id);
  const failures = await scheduler.listFailures({ _flowId: flow._id });
  return inspect({ run, failures, lines }, { depth: 20, showHidden: true });
}

const records = {
  async *pages() {
    yield [{ id: "1" }, { id: "2" }];
  },
};
const noOp = { idempotent: true, write: async () => undefined };

for (const { name, missing, open } of databases) {
  describe.skipIf(missing !== undefined)(`${name}${missing === undefined ? "" : `: ${missing}`}`, () => {
    test("what a run logs, stores and emits shows no password, also when it is refused", async () => {
      const database = open(false);
      const from = sqlExport<object>({ database, table: "orders", cursor: ["id"], settleMs: 0 });
      const into = sqlImport<{ id: string }>({ database, table: "orders", key: ["id"] });

      const shown = [await shownBy({ from }, { into: noOp }), await shownBy({ from: records }, { into })];

      for (const text of shown) {
        expect(text).toMatch(/denied|authentication|does not exist/);
        expect(text).not.toContain(mark);
      }
    });

    test("nor do tokens and limits in it, when they cannot be read", async () => {
      const api = await startServer(() => ({ status: 200, body: {} }));
      const refused = open(false);
      const table = `no_such_table`;
      for (const database of [refused, open(true)]) {
        const client = { tokenUrl: "http://127.0.0.1:1/token", clientId: "a", clientSecret: mark, refreshToken: mark };
        const auth = refreshToken({ ...client, store: sqlTokens({ database, name: "erp", table }) });
        const limits = sqlLimits({ database, name: "erp", table });
        for (const options of [{ auth }, { limits }]) {
          const to = connection({ baseUrl: api.url, ...options, attempts: 1 });
          const into = httpImport({
            connection: to,
            request: ({ id }: { id: string }) => ({
              method: "PUT",
              path: [id],
              query: { q: mark },
              headers: { x: mark },
            }),
            idempotent: true,
          });

          const text = await shownBy({ from: records }, { into });

          expect(text).toMatch(/the (tokens|limits) erp: /);
          expect(text).not.toContain(mark);
        }
      }
      expect(api.seen).toEqual([]);
    });
  });
}
