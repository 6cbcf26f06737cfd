import { createHash } from "node:crypto";
import { mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const folder = join(root, ".work/bench/samples");

/**
 * The samples of a piece of work: `of(contender)`, `add(contender, figures)`. They are kept in a file; those of another
 * build of poundlock, of other peers, of another Node or of another machine do not count.
 */
export async function keptSamples(work, fresh) {
  await mkdir(folder, { recursive: true });
  const file = join(folder, `${work}.json`);
  const origin = await originOf();
  const before = fresh ? undefined : await read(file);
  const samples = before?.origin === origin ? before.samples : {};
  return {
    of: (contender) => samples[contender] ?? [],
    async add(contender, figures) {
      (samples[contender] ??= []).push(figures);
      await writeFile(file, JSON.stringify({ origin, samples }));
    },
  };
}

async function read(file) {
  try {
    return JSON.parse(await readFile(file, "utf8"));
  } catch {
    return undefined;
  }
}

async function originOf() {
  const hash = createHash("sha256").update(`${process.version} ${cpus()[0]?.model} ${cpus().length}`);
  hash.update(await readFile(join(root, "test/bench/package-lock.json")));
  const built = (await readdir(join(root, "dist"), { recursive: true })).filter((name) => name.endsWith(".js")).sort();
  for (const name of built) hash.update(name).update(await readFile(join(root, "dist", name)));
  return hash.digest("hex");
}
