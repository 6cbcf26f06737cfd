import { fuzz } from "./fuzz/fuzz.ts";

// `npm run test:soak:http -- N [seed]`: N random sequences of requests (5,000), some 40 requests each, against the model.
const [sequences = 5_000, seed = Date.now()] = process.argv.slice(2).map(Number);
const started = performance.now();
console.log(`seed ${seed}`);
const { requests, statuses } = await fuzz(sequences, seed);
const seconds = ((performance.now() - started) / 1_000).toFixed(1);
console.log(`${requests} requests in ${sequences} sequences: no difference, ${seconds} s`);
console.log(Object.fromEntries([...statuses].sort(([one], [other]) => one - other)));
