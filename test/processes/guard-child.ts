// Starts a process that would go on for an hour, says which, and waits to be killed.
import { spawn } from "node:child_process";
import { writeSync } from "node:fs";
import { endWithParent } from "../support/guard.ts";

const child = spawn("sleep", ["3600"], { stdio: "ignore" });
endWithParent(child);
writeSync(1, `${JSON.stringify({ what: "started", pid: child.pid })}\n`);
setInterval(() => undefined, 1_000);
