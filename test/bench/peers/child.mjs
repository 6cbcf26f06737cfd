// One sample: does one piece of work as one contender does it, and sends what it cost.
import { loadavg } from "node:os";
import { workNamed } from "./works.mjs";

const { work: name, contender: title, value } = JSON.parse(process.argv[2]);
// Nobody waits for the figures any more.
process.on("disconnect", () => process.exit(1));
const work = await workNamed(name);
const contender = work.contenders.find((candidate) => candidate.name === title);
// What loading a package costs is measured under "start".
for (const module of contender.modules ?? []) await import(module);
global.gc();
const [load] = loadavg();
const started = performance.now();
const cpuBefore = process.cpuUsage();
const figures = (await contender.run(value)) ?? {};
const cpu = process.cpuUsage(cpuBefore);
const own = { wallMs: performance.now() - started, cpuMs: (cpu.user + cpu.system) / 1_000 };
const peakMb = process.resourceUsage().maxRSS / 1_024;
await work.verify?.(value, contender);
process.send({ ...own, peakMb, load, ...figures }, () => process.exit(0));
