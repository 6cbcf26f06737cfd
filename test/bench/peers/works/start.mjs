// What it costs to load each of them, and how large it is where it is installed alone.
import { execFileSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Imports the module; the time and the memory are of the import alone. */
const importing = (name) => async () => {
  global.gc();
  const before = process.memoryUsage().rss;
  const started = performance.now();
  const cpu = process.cpuUsage();
  await import(name);
  const used = process.cpuUsage(cpu);
  return {
    wallMs: performance.now() - started,
    cpuMs: (used.user + used.system) / 1_000,
    rssMb: (process.memoryUsage().rss - before) / 2 ** 20,
  };
};

/** Bytes of a package with everything that it installs, and how many packages that are. */
async function installedSize(specifier) {
  const folder = await mkdtemp(join(tmpdir(), "poundlock-size-"));
  try {
    const flags = ["--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--omit=peer", "--loglevel=error"];
    execFileSync("npm", ["install", "--prefix", folder, ...flags, specifier], { stdio: "ignore" });
    const size = execFileSync("du", ["-sk", "--apparent-size", join(folder, "node_modules")]).toString();
    const lock = JSON.parse(readFileSync(join(folder, "node_modules/.package-lock.json"), "utf8"));
    return { mb: Number.parseInt(size, 10) / 1_024, packages: Object.keys(lock.packages).length };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const { dependencies } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
const specifiers = {
  "**poundlock**": "poundlock",
  BullMQ: "bullmq",
  "pg-boss": "pg-boss",
  "graphile-worker": "graphile-worker",
};
const contender = ([name, module], index) => ({
  name,
  ...(index > 0 ? { role: "peer" } : {}),
  guarantee: index === 0 ? "in the host's process; without a database's driver" : "with its driver, without its server",
  async run({ sizes }) {
    return { ...(await importing(module)()), ...sizes[module] };
  },
});

export default {
  title: "Start: import and size",
  packages: ["bullmq", "graphile-worker", "pg-boss"],
  async prepare(folder) {
    const packed = execFileSync("npm", ["pack", "--silent", "--ignore-scripts", "--pack-destination", folder], {
      cwd: new URL("../../../..", import.meta.url),
    });
    const sizes = {};
    for (const module of Object.values(specifiers)) {
      const specifier =
        module === "poundlock" ? join(folder, packed.toString().trim()) : `${module}@${dependencies[module]}`;
      sizes[module] = await installedSize(specifier);
    }
    return { value: { sizes } };
  },
  contenders: Object.entries(specifiers).map(contender),
  cost: ({ cpuMs }) => cpuMs,
  columns: [
    { title: "CPU ms to import", value: ({ cpuMs }) => cpuMs },
    { title: "wall ms", value: ({ wallMs }) => wallMs },
    { title: "MB of memory more", value: ({ rssMb }) => rssMb },
    { title: "installed MB", value: ({ mb }) => mb },
    { title: "packages", value: ({ packages }) => packages },
  ],
};
