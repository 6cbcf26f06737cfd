import fc from "fast-check";

// Properties run with one seed, so that a failure is there again in the next run; `SEED=2 npm test` runs others.
fc.configureGlobal({ seed: Number(process.env.SEED ?? "1") });
