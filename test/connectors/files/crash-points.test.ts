import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { S3 } from "@aws-sdk/client-s3";
import fc from "fast-check";
import S3rver from "s3rver";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  type FileSystem,
  fileExport,
  fileImport,
  localFiles,
  ndjson,
  s3Files,
  sftpFiles,
} from "../../../src/connectors/files/index.ts";
import { MemoryStorage } from "../../../src/index.ts";
import { ManualClock } from "../../../src/testing/index.ts";
import { inParallel } from "../../processes/child-process.ts";
import { textOf } from "./file-system-cases.ts";
import { type Mortal, moveByMortals } from "./mortal.ts";
import { Sshd, whyNoSshd } from "./sshd.ts";

/** Somewhere that files are, and how a process which may die reaches them. */
interface Place {
  readonly stop: () => Promise<void>;
  /** Files of a folder that nothing else uses, as anybody sees them who does not die; and as a process does. */
  readonly open: () => Promise<{
    readonly files: FileSystem;
    readonly as: (process: Mortal) => FileSystem;
    readonly close?: () => void;
  }>;
}

const { signal } = new AbortController();
/** Nothing is too young for it. */
const later = new ManualClock(Date.now() + 86_400_000);
let folders = 0;

async function local(): Promise<Place> {
  const folder = await mkdtemp(join(tmpdir(), "poundlock-crashes-"));
  return {
    stop: () => rm(folder, { recursive: true, force: true }),
    open: async () => {
      const files = localFiles(join(folder, String(++folders)));
      const as = (process: Mortal): FileSystem => ({
        ...files,
        list: (...given) => process.does(() => files.list(...given)),
        write: (...given) => process.does(() => files.write(...given)),
        append: (...given) => process.does(async () => files.append?.(...given)),
        move: (...given) => process.does(async () => files.move?.(...given)),
        sizeOf: (path) => process.does(async () => files.sizeOf?.(path)),
      });
      return { files, as };
    },
  };
}

async function s3(): Promise<Place> {
  const directory = await mkdtemp(join(tmpdir(), "poundlock-crashes-"));
  const settings = { port: 0, address: "127.0.0.1", silent: true, directory };
  const server = new S3rver({ ...settings, configureBuckets: [{ name: "drop", configs: [] }] });
  const { port } = await server.run();
  const client = new S3({
    ...{ endpoint: `http://127.0.0.1:${port}`, region: "us-east-1", forcePathStyle: true },
    credentials: { accessKeyId: "S3RVER", secretAccessKey: "S3RVER" },
  });
  return {
    async stop() {
      client.destroy();
      await server.close();
      await rm(directory, { recursive: true, force: true });
    },
    open: async () => {
      const at = { bucket: "drop", folder: String(++folders) };
      return {
        files: s3Files({ client, ...at }),
        as: (process) => s3Files({ client: process.client(client), ...at }),
      };
    },
  };
}

async function sftp(): Promise<Place> {
  const sshd = await Sshd.start();
  return {
    stop: () => sshd.close(),
    open: async () => {
      const folder = join(sshd.folder, String(++folders));
      await mkdir(folder);
      // One connection for all processes, as every death would be a handshake.
      const session = await sshd.connect();
      return {
        close: () => session.end(),
        files: sftpFiles({ connect: async () => session, folder }),
        as: (process) => sftpFiles({ connect: async () => process.session(session), folder }),
      };
    },
  };
}

interface Line {
  readonly id: number;
  /** So that a page of them is more than one request of SFTP. */
  readonly filler: string;
}

const pageSize = 5;
const sizes = [7, 4];
const lines: readonly Line[] = Array.from({ length: 11 }, (_, id) => ({ id, filler: "x".repeat(8_000) }));
const ids = lines.map(({ id }) => id);
const format = ndjson<Line>();

const destinations = {
  "a file for each page": { path: ({ page }: { page: number }) => `out/${page}.ndjson` },
  "one file that pages are added to": { append: "out/all.ndjson" },
};

/** Files are moved from one folder to another by processes that die at these steps. */
async function moveThrough({ open }: Place, to: keyof typeof destinations, steps: readonly number[]) {
  const { files, as, close } = await open();
  let first = 0;
  for (const [nth, size] of sizes.entries()) {
    await files.write(`in/${nth}.ndjson`, format.write(lines.slice(first, first + size), { first: true }), {
      sync: "none",
    });
    first += size;
  }
  const filesIn = async (folder: string) => {
    const paths = (await files.list(folder, signal)).map(({ path }) => path).filter((path) => !path.endsWith(".page"));
    return Promise.all(paths.sort().map(async (path) => [path, await textOf(files, path)] as const));
  };
  const whole = new Set(lines.map((line) => JSON.stringify(line)));
  const idsIn = async (folder: string) =>
    (await filesIn(folder)).flatMap(([path, text]) => {
      const found = text.split("\n").filter((line) => line !== "");
      // A file is never seen half-written, but one that is being added to.
      const isWhole = text.endsWith("\n") && found.every((line) => whole.has(line));
      expect([path, isWhole || path === "out/all.ndjson"]).toEqual([path, true]);
      return found.map((line) => (whole.has(line) ? (JSON.parse(line) as Line).id : -1));
    });
  const moved = await moveByMortals(
    new MemoryStorage(),
    steps,
    (process) => {
      const there = as(process);
      const from = fileExport<Line>({
        ...{ files: there, match: "in/*", format, pageSize, clock: later },
        done: { moveTo: "done" },
      });
      return { exports: { from }, imports: { into: fileImport<Line>({ files: there, format, ...destinations[to] }) } };
    },
    async () => {
      await idsIn("out");
      // What is to be moved is in the one place, the other, or both.
      expect(new Set([...(await idsIn("in")), ...(await idsIn("done"))])).toEqual(new Set(ids));
    },
  );
  const { numSuccess, status } = moved.run;
  expect({ steps, pauses: moved.pauses, status, numSuccess, next: moved.next.numSuccess }).toEqual({
    ...{ steps, pauses: [], status: "completed", numSuccess: ids.length, next: 0 },
  });
  expect({ steps, out: await idsIn("out") }).toEqual({ steps, out: ids });
  expect({ steps, in: await idsIn("in") }).toEqual({ steps, in: [] });
  expect(new Set(await idsIn("done"))).toEqual(new Set(ids));
  close?.();
  return moved.deaths;
}

/** All steps up to the first at which a run is over before its process dies. */
async function tryEachStep(dies: (step: number) => Promise<boolean>): Promise<number> {
  const atOnce = 8;
  let last = Infinity;
  for (let tried = 0; ; tried += atOnce) {
    const steps = Array.from({ length: atOnce }, (_, nth) => tried + nth + 1);
    await inParallel(steps, 4, async (step) => {
      if (!(await dies(step))) last = Math.min(last, step - 1);
    });
    if (last < Infinity) return last;
  }
}

describe.each([
  ["this computer", local, undefined],
  ["a bucket of S3", s3, undefined],
  ["an SFTP server", sftp, whyNoSshd],
] as const)("files of %s", (name, start, missing) => {
  let place: Place;
  beforeAll(async () => {
    if (missing === undefined) place = await start();
  });
  afterAll(() => missing ?? place.stop());
  const why = missing === undefined ? "" : ` (skipped: ${missing})`;
  const places = Object.keys(destinations).filter((to) => name !== "a bucket of S3" || !to.startsWith("one"));

  describe.skipIf(missing !== undefined).each(places as (keyof typeof destinations)[])(`moved into %s${why}`, (to) => {
    test("are all there, once, in order, at whatever step its process dies", { timeout: 240_000 }, async () => {
      const steps = await tryEachStep(async (step) => (await moveThrough(place, to, [step])) > 0);

      // Of each of three pages a request to read and one to write, and its commit.
      expect(steps).toBeGreaterThan(15);
    });

    test("are all there, once, in order, however often processes die", { timeout: 240_000 }, async () => {
      const deaths = fc.array(fc.integer({ min: 1, max: 45 }), { minLength: 2, maxLength: 6 });
      await fc.assert(
        fc.asyncProperty(deaths, async (steps) => {
          await moveThrough(place, to, steps);
        }),
        { numRuns: 15 },
      );
    });
  });
});
