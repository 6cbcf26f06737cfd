// One sample: does one piece of work as one contender does it, and sends what it cost.
import { workNamed } from "./works.mjs";

const { work: name, contender: title, value } = JSON.parse(process.argv[2]);
const work = await workNamed(name);
const contender = work.contenders.find((candidate) => candidate.name === title);
const started = performance.now();
const cpuBefore = process.cpuUsage();
const figures = (await contender.run(value)) ?? {};
const cpu = process.cpuUsage(cpuBefore);
const own = { wallMs: performance.now() - started, cpuMs: (cpu.user + cpu.system) / 1_000 };
// Loading the contender is part of the process, and the same for its every user: it is measured under "start".
await work.verify?.(value, contender);
process.send({ ...own, peakMb: process.resourceUsage().maxRSS / 1_024, ...figures }, () => process.exit(0));
