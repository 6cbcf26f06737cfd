// A process that executes runs of the exports and imports of `host` on one PostgreSQL, and says when each began to be read.
import { hostOf } from "./shared-host.mjs";

const { value, options } = JSON.parse(process.argv[2]);
let began = [];
const host = await hostOf(value, { ...options, began: () => began.push(performance.timeOrigin + performance.now()) });
await host.scheduler.start();
const timer = setInterval(() => {
  if (began.length === 0) return;
  process.send({ began });
  began = [];
}, 5);
process.on("disconnect", () => process.exit(1));
process.on("message", async () => {
  clearInterval(timer);
  await host.close();
  process.exit(0);
});
process.send({ isReady: true });
