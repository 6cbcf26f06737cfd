import type { TestProject } from "vitest/node";
import { startMariadb } from "./mariadb-server.ts";
import { startPostgres } from "./postgres-server.ts";
import { startRedis } from "./redis-server.ts";

declare module "vitest" {
  export interface ProvidedContext {
    /** The port on 127.0.0.1 of the PostgreSQL that all tests of this project share; user and password `postgres`. */
    postgresPort: number;
    /** The same of the MariaDB, user `root` without a password; or why there is none. */
    mariadb: { readonly port: number } | { readonly missing: string };
    /** The port of the Redis, or why there is none. */
    redis: { readonly port: number } | { readonly missing: string };
  }
}

/** Starts one server of each kind for all tests of a project, and ends them after it. */
export default async function setUp(project: TestProject): Promise<() => Promise<void>> {
  const [postgres, mariadb, redis] = await Promise.all([startPostgres(), startMariadb(), startRedis()]);
  project.provide("postgresPort", postgres.port);
  project.provide("mariadb", "port" in mariadb ? { port: mariadb.port } : mariadb);
  project.provide("redis", "port" in redis ? { port: redis.port } : redis);
  return async () => {
    const optional = [mariadb, redis].flatMap((server) => ("port" in server ? [server.stop()] : []));
    await Promise.all([postgres.stop(), ...optional]);
  };
}
