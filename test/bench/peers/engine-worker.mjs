// A further process that executes jobs of an engine: says when it is ready, how many it has executed, and in the end what it cost.
import { engines, roundTrips } from "./engines.mjs";

const { engine: name, value, options } = JSON.parse(process.argv[2]);
let executed = 0;
let said = 0;
const engine = await engines[name].open(value, { ...options, isFirst: false });
const cpuBefore = process.cpuUsage();
const tripsBefore = roundTrips();
await engine.work(() => void executed++);
const timer = setInterval(() => {
  if (executed === said) return;
  said = executed;
  process.send({ executed });
}, 5);
process.on("disconnect", () => process.exit(1));
process.on("message", async () => {
  const { user, system } = process.cpuUsage(cpuBefore);
  const figures = { cpuMs: (user + system) / 1_000, trips: roundTrips() - tripsBefore };
  clearInterval(timer);
  await engine.close();
  process.send({ figures }, () => process.exit(0));
});
process.send({ isReady: true });
