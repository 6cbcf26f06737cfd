// BullMQ carries the wake-ups: one queue in Redis, which only has hints in it.

import { BullExecutor } from "poundlock/executor/bullmq";
import { work } from "./work.ts";

const connection = { url: process.env.REDIS_URL ?? "redis://127.0.0.1:6379" };

await work(new BullExecutor({ connection, queue: "flows" }));
