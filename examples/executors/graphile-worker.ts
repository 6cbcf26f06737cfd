// graphile-worker carries the wake-ups: jobs in the same database, one task for each export.

import { GraphileExecutor } from "poundlock/executor/graphile-worker";
import { pool, work } from "./work.ts";

await work(new GraphileExecutor({ connection: pool }));
