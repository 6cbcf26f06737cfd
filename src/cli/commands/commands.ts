import { resolve, retry } from "./bulk.ts";
import { checkpointGet, checkpointSet } from "./checkpoint.ts";
import type { Command } from "./command.ts";
import { dashboard } from "./dashboard.ts";
import { doctor } from "./doctor/doctor.ts";
import { causes, failures, flows, runs } from "./lists.ts";
import { cancel, resume, run } from "./runs.ts";
import { show } from "./show.ts";

/** All commands, in the order of the help. */
export const commands: readonly Command[] = [
  ...[flows, runs, failures, causes, show],
  ...[run, retry, resume, resolve, cancel, checkpointGet, checkpointSet],
  ...[doctor, dashboard],
];
