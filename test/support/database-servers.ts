import type { TestProject } from "vitest/node";
import { startMariadb } from "./mariadb-server.ts";
import { startPostgres } from "./postgres-server.ts";

declare module "vitest" {
  export interface ProvidedContext {
    /** The port on 127.0.0.1 of the PostgreSQL that all tests of this project share; user and password `postgres`. */
    postgresPort: number;
    /** The same of the MariaDB, user `root` without a password; or why there is none. */
    mariadb: { readonly port: number } | { readonly missing: string };
  }
}

/** Starts one server of each kind for all tests of a project, and ends them after it. */
export default async function setUp(project: TestProject): Promise<() => Promise<void>> {
  const [postgres, mariadb] = await Promise.all([startPostgres(), startMariadb()]);
  project.provide("postgresPort", postgres.port);
  project.provide("mariadb", "port" in mariadb ? { port: mariadb.port } : mariadb);
  return async () => {
    await Promise.all([postgres.stop(), ...("port" in mariadb ? [mariadb.stop()] : [])]);
  };
}
