import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { inspect } from "node:util";
import { sqlTokens } from "poundlock/connectors/oauth";
import { ManualClock } from "poundlock/testing";
import { describe, expect, onTestFinished, test } from "vitest";
import type { SqlDatabase } from "../../../../src/connectors/sql/index.ts";
import { errorOf, kindOf } from "../contexts.ts";
import { startServer } from "../server.ts";
import { TokenServer } from "../token-server.ts";
import { type Place, openPlace } from "../../../support/shared-database.ts";
import { createPlace, sharedKinds } from "./create-place.ts";

const columns = "name varchar(200) primary key, tokens text, owner varchar(36), owned_until bigint";

for (const { kind, missing } of sharedKinds) {
  describe.skipIf(missing !== undefined)(`tokens in ${kind}${missing === undefined ? "" : `: ${missing}`}`, () => {
    const open = async (): Promise<{ readonly place: Place; readonly database: SqlDatabase }> => {
      const place = await createPlace(kind);
      const { database, close } = openPlace(place);
      onTestFinished(close);
      await database.query(`create table poundlock_tokens (${columns})`);
      return { place, database };
    };
    const rowOf = async (database: SqlDatabase) => (await database.query("select * from poundlock_tokens"))[0];

    test("are none to begin with, and then what was kept last", async () => {
      const { database } = await open();
      const store = sqlTokens({ database, name: "erp" });

      expect(await store.load()).toBeUndefined();
      await store.update(async (current) => ({ refreshToken: `after ${current === undefined ? "none" : "some"}` }));
      await store.update(async (current) => ({ ...current, accessToken: "a", expiresAt: 5 }));

      expect(await store.load()).toEqual({ refreshToken: "after none", accessToken: "a", expiresAt: 5 });
      expect(await sqlTokens({ database, name: "other" }).load()).toBeUndefined();
      expect(await rowOf(database)).toMatchObject({ owner: null, owned_until: null });
    });

    test("are renewed once by several processes", { timeout: 60_000 }, async () => {
      const { place, database } = await open();
      await database.query(
        `insert into poundlock_tokens (name, tokens) values ('erp', '{"refreshToken":"refresh-0"}')`,
      );
      const tokens = new TokenServer();
      const server = await startServer(tokens.respond);
      const api = await startServer(({ headers }) => ({ status: tokens.accepts(headers.authorization) ? 200 : 401, body: {} })); // prettier-ignore
      let ready = 0;
      let allReady: () => void = () => undefined;
      const others = new Promise<void>((resolve) => (allReady = resolve));
      server.respond = async (request) => {
        await others;
        return tokens.respond(request);
      };
      const script = fileURLToPath(new URL("token-child.ts", import.meta.url));
      const start = async () => {
        const settings = [`${server.url}/token`, api.url, JSON.stringify(place)];
        const child = spawn(process.execPath, ["--import", "tsx", script, ...settings], { stdio: ["ignore", "pipe", "pipe"] }); // prettier-ignore
        let errors = "";
        child.stderr.on("data", (chunk) => (errors += String(chunk)));
        child.stdout.once("data", () => {
          if (++ready === 2) allReady();
        });
        const [code] = (await once(child, "close")) as [number];
        return { code, errors };
      };

      const ended = await Promise.all([start(), start()]);

      expect(ended).toEqual(ended.map(() => ({ code: 0, errors: "" })));
      expect(tokens).toMatchObject({ requests: 1, isRevoked: false });
      expect(api.seen.length).toBe(10);
      expect(await sqlTokens({ database, name: "erp" }).load()).toMatchObject({ refreshToken: "refresh-1" });
    });

    test("are taken over from a process that died, once its lease has run out", async () => {
      const { database } = await open();
      const soon = `${database.dialect.nowMs} + 300`;
      await database.query(`insert into poundlock_tokens (name, owner, owned_until) values ('erp', 'died', ${soon})`);
      const before = Date.now();

      await sqlTokens({ database, name: "erp" }).update(async () => ({ accessToken: "new" }));

      expect(Date.now() - before).toBeGreaterThan(250);
      expect(await sqlTokens({ database, name: "erp" }).load()).toEqual({ accessToken: "new" });
    });

    test("stay as they were if there are no new ones, or if another process took over meanwhile", async () => {
      const { database } = await open();
      const store = sqlTokens({ database, name: "erp" });
      await store.update(async () => ({ accessToken: "old" }));

      expect((await errorOf(store.update(() => Promise.reject(new Error("no"))))).message).toBe("no");
      const frozen = store.update(async () => {
        await database.query(`update poundlock_tokens set owner = 'other', tokens = '{"accessToken":"theirs"}'`);
        return { accessToken: "late" };
      });

      expect((await errorOf(frozen)).message).toContain("were taken over by another process");
      expect(await rowOf(database)).toMatchObject({ owner: "other", tokens: '{"accessToken":"theirs"}' });
    });

    test("stay leased for as long as the token server takes", async () => {
      const { database } = await open();
      const clock = new ManualClock();
      const store = sqlTokens({ database, name: "erp", clock });
      await store.update(async () => {
        await database.query("update poundlock_tokens set owned_until = 0");
        await clock.advance(5_000);
        await expect.poll(async () => Number((await rowOf(database))?.owned_until)).toBeGreaterThan(0);
        return { accessToken: "a" };
      });

      expect(clock.timers).toBe(0);
    });

    test("are kept although the database is away for a moment when they have come", async () => {
      const { database } = await open();
      let failures = 0;
      const shaky: SqlDatabase = {
        ...database,
        query(text, values) {
          if (text.includes("set tokens") && ++failures <= 2)
            throw Object.assign(new Error("away"), { code: kind === "libsql" ? "SQLITE_BUSY" : "ECONNRESET" });
          return database.query(text, values);
        },
      };

      await sqlTokens({ database: shaky, name: "erp" }).update(async () => ({ refreshToken: "once" }));

      expect(await sqlTokens({ database, name: "erp" }).load()).toEqual({ refreshToken: "once" });
      expect(failures).toBe(3);
    });

    test("are in no error", async () => {
      const { database } = await open();
      const store = sqlTokens({ database, name: "erp" });
      await database.query(`insert into poundlock_tokens (name, tokens) values ('erp', '"refresh-s3cret')`);
      const unreadable = await errorOf(store.load());
      await database.query("update poundlock_tokens set tokens = null");
      const failing = store.update(async () => {
        await database.query("drop table poundlock_tokens");
        return { refreshToken: "refresh-s3cret" };
      });
      const lost = await errorOf(failing);

      expect(unreadable.message).toContain("the row erp has no tokens: expected JSON such as");
      expect(lost.message).toContain("the tokens erp:");
      expect(kindOf(lost)).toBe("error");
      for (const error of [unreadable, lost])
        expect(inspect(error, { depth: 20, showHidden: true })).not.toContain("s3cret");
    });
  });
}

test.each([
  [{ name: "" }, "sqlTokens.name: expected a name"],
  [{ database: {} }, "sqlTokens.database"],
  [{ tabel: "x" }, "tabel"],
])("sqlTokens refuses %o", (options, message) => {
  const database = { query: () => undefined, transaction: () => undefined };

  expect(() => sqlTokens({ database, name: "erp", ...options } as never)).toThrow(message);
});
