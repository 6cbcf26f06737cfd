// What the checks of the package share: the package as npm packs it, and projects of hosts to install it in.
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

export const root = fileURLToPath(new URL("../..", import.meta.url));
export const manifest = JSON.parse(await readFile(join(root, "package.json"), "utf8"));

// What npm tells the scripts it runs about this package would make it work here instead of in the projects below.
const env = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !/^npm_(package|lifecycle|config_local_prefix)/.test(name)),
);

/** Runs a program to its end and returns its output; rejects with all it has printed if it fails. */
export async function run(command, args, { cwd = root, ...more } = {}) {
  const options = { cwd, env: { ...env, ...more.env }, maxBuffer: 2 ** 26 };
  const execution = promisify(execFile)(command, args, options);
  execution.child.stdin?.end();
  const { stdout } = await execution.catch(({ message, stdout = "", stderr = "" }) => {
    throw new Error([message, stdout, stderr].join("\n"));
  });
  return stdout;
}

export const node = (args, folder, env) => run(process.execPath, args, { cwd: folder, env });

/** Packs the built `dist`; what npm says of it, and where the tarball is. */
export async function pack() {
  const folder = join(root, ".work/package");
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const [packed] = JSON.parse(await run("npm", ["pack", "--ignore-scripts", "--json", "--pack-destination", folder]));
  return { ...packed, tarball: join(folder, packed.filename) };
}

/** A package in the version that this repository tests with. */
export const pinned = (name) => `${name}@${manifest.devDependencies[name]}`;

/** The optional peers without which an entry point cannot be loaded. */
export async function importedPeers() {
  const files = (await readdir(join(root, "dist"), { recursive: true })).filter((file) => file.endsWith(".js"));
  const code = (await Promise.all(files.map((file) => readFile(join(root, "dist", file), "utf8")))).join("\n");
  return Object.keys(manifest.peerDependencies).filter((name) =>
    new RegExp(`^import .*['"]${name}(?:/[^'"]*)?['"];$`, "m").test(code),
  );
}

/**
 * Runs `work` in a project that has nothing but `packages` and what they depend on, and these files of this folder.
 * `fields` go into its package.json.
 */
export async function inProject({ packages, files = [], ...fields }, work) {
  const folder = await mkdtemp(join(tmpdir(), "poundlock-consumer-"));
  try {
    await writeFile(join(folder, "package.json"), JSON.stringify({ name: "consumer", private: true, ...fields }));
    for (const file of files)
      await cp(join(root, "test/package", file), join(folder, basename(file)), { recursive: true });
    await run("npm", ["install", "--prefer-offline", "--no-audit", "--no-fund", ...packages], { cwd: folder });
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Runs the checks in turn, each a title and a function that throws; the process ends with 1 if one did. */
export async function runChecks(name, checks) {
  let failed = 0;
  for (const [title, check] of checks) {
    const started = Date.now();
    try {
      const details = await check();
      const seconds = ((Date.now() - started) / 1_000).toFixed(1);
      console.log(`✓ ${title} (${[details, `${seconds} s`].filter(Boolean).join(", ")})`);
    } catch (error) {
      failed++;
      console.error(`✗ ${title}\n${error.message}`);
    }
  }
  console.log(`${name}: ${checks.length - failed} passed, ${failed} failed`);
  process.exitCode = failed === 0 ? 0 : 1;
}
