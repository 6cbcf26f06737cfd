import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";
import type pg from "pg";
import { endWithParent } from "../../support/guard.ts";
import { connectionTo, freePort, type PostgresServer, startPostgres } from "../../support/postgres-server.ts";

/** A PostgreSQL that can be made to fail, and perhaps a pooler in front of it. */
export class Cluster {
  readonly #server: PostgresServer;
  readonly #pooler: Pooler | undefined;
  readonly #disk: SmallDisk | undefined;

  private constructor(server: PostgresServer, pooler?: Pooler, disk?: SmallDisk) {
    this.#server = server;
    this.#pooler = pooler;
    this.#disk = disk;
  }

  static async start(kind: ClusterKind): Promise<Cluster> {
    const disk = kind === "small disk" ? await SmallDisk.mount() : undefined;
    // Committed is what the system has been given: processes die here, and the computer does not.
    const server = await startPostgres(["fsync=off"], disk?.folder);
    try {
      return new Cluster(server, kind === "pooler" ? await Pooler.start(server.port) : undefined, disk);
    } catch (error) {
      await server.stop();
      throw error;
    }
  }

  /** To the server itself. */
  get direct(): pg.PoolConfig {
    return connectionTo(this.#server.port);
  }

  /** How workers connect. */
  get connection(): pg.PoolConfig {
    return this.#pooler === undefined ? this.direct : connectionTo(this.#pooler.port);
  }

  /** Whether connections change between two transactions. */
  get isPooled(): boolean {
    return this.#pooler !== undefined;
  }

  /** Ends every process of the server at once, as `pg_ctl restart -m immediate` does, and starts it again. */
  async restart(): Promise<void> {
    await this.#server.crash();
    await this.#server.start();
  }

  /** Kills the pooler and starts it again. */
  async restartPooler(): Promise<void> {
    await this.#pooler?.restart();
  }

  /** Leaves no room on the disk, until `free` is called. */
  fillDisk(): void {
    this.#disk?.fill();
  }

  freeDisk(): void {
    this.#disk?.free();
  }

  async stop(): Promise<void> {
    await this.#pooler?.stop();
    await this.#server.stop();
    await this.#disk?.unmount();
  }
}

/** `pooler`: PgBouncer in transaction mode. `small disk`: the data is on a file system of its own, of 320 MB. */
export type ClusterKind = "server" | "pooler" | "small disk";

/** Why such a cluster cannot be had here, if it cannot. */
export async function missingFor(kind: ClusterKind): Promise<string | undefined> {
  if (kind === "pooler" && programAt("pgbouncer") === undefined)
    return "PgBouncer is not installed (Debian: apt-get install pgbouncer)";
  if (kind !== "small disk") return undefined;
  try {
    const disk = await SmallDisk.mount();
    await disk.unmount();
    return undefined;
  } catch (error) {
    return `no file system can be mounted here: ${String(error)}`;
  }
}

function programAt(name: string): string | undefined {
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/usr/local/sbin"];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

/** PgBouncer in transaction mode, with fewer connections to the server than clients have to it. */
class Pooler {
  readonly port: number;
  readonly #folder: string;
  #child: ChildProcess;

  private constructor(port: number, folder: string) {
    this.port = port;
    this.#folder = folder;
    this.#child = this.#spawn();
  }

  static async start(serverPort: number): Promise<Pooler> {
    const folder = mkdtempSync(join(tmpdir(), "poundlock-pgbouncer-"));
    chmodSync(folder, 0o755);
    const port = await freePort();
    const settings = {
      listen_addr: "127.0.0.1",
      listen_port: port,
      unix_socket_dir: "",
      auth_type: "any",
      pool_mode: "transaction",
      default_pool_size: 10,
      max_client_conn: 200,
      // What pg sends when it connects and PgBouncer does not keep.
      ignore_startup_parameters: "extra_float_digits,application_name,options",
    };
    const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}`);
    const database = `postgres = host=127.0.0.1 port=${serverPort} user=postgres password=postgres`;
    writeFileSync(join(folder, "settings.ini"), ["[databases]", database, "[pgbouncer]", ...lines, ""].join("\n"));
    const pooler = new Pooler(port, folder);
    await pooler.#untilReady();
    return pooler;
  }

  async restart(): Promise<void> {
    await this.#kill();
    this.#child = this.#spawn();
    await this.#untilReady();
  }

  async stop(): Promise<void> {
    await this.#kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #spawn(): ChildProcess {
    const program = programAt("pgbouncer") ?? "pgbouncer";
    // PgBouncer refuses to run as root.
    const asOther = process.getuid?.() === 0 ? ["-u", "nobody"] : [];
    const child = spawn(program, [...asOther, join(this.#folder, "settings.ini")], { stdio: "ignore" });
    endWithParent(child);
    return child;
  }

  async #kill(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.kill("SIGKILL")) await once(this.#child, "exit");
  }

  async #untilReady(): Promise<void> {
    const { default: pg } = await import("pg");
    for (;;) {
      if (this.#child.exitCode !== null) throw new Error(`PgBouncer ended with code ${this.#child.exitCode}`);
      const client = new pg.Client(connectionTo(this.port));
      client.on("error", () => undefined);
      try {
        await client.connect();
        await client.query("select 1");
        await client.end();
        return;
      } catch {
        await pause(20);
      }
    }
  }
}

const megabyte = 2 ** 20;

/** A file system in memory, which can be filled. */
class SmallDisk {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async mount(): Promise<SmallDisk> {
    const folder = mkdtempSync(join(tmpdir(), "poundlock-disk-"));
    try {
      await promisify(execFile)("mount", ["-t", "tmpfs", "-o", "size=320m,mode=755", "tmpfs", folder]);
    } catch (error) {
      rmSync(folder, { recursive: true });
      throw error;
    }
    return new SmallDisk(folder);
  }

  fill(): void {
    const { bavail, bsize } = statfsSync(this.folder);
    const free = bavail * bsize;
    const piece = Buffer.alloc(megabyte);
    for (let left = free; left > 0; left -= megabyte) {
      try {
        writeFileSync(this.#filler, piece.subarray(0, Math.min(left, megabyte)), { flag: "a" });
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ENOSPC") return;
        throw error;
      }
    }
  }

  free(): void {
    rmSync(this.#filler, { force: true });
  }

  async unmount(): Promise<void> {
    await promisify(execFile)("umount", [this.folder]);
    rmSync(this.folder, { recursive: true });
  }

  get #filler(): string {
    return join(this.folder, "filler");
  }
}
