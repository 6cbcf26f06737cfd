#!/usr/bin/env node
import { runCommandLine } from "./command-line.ts";

const ending = new AbortController();
const { stderr, stdin, stdout } = process;

// Whoever reads has what it wanted, as `head` does: that is no error, and nobody is there to read of one.
for (const stream of [stdout, stderr])
  stream.on("error", (error: NodeJS.ErrnoException) => {
    process.exit(error.code === "EPIPE" ? 0 : 1);
  });

for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.once(signal, () => ending.abort(new Error(`ended by ${signal}`)));

process.exitCode = await runCommandLine(process.argv.slice(2), {
  ...{ stdin, stdout, stderr },
  env: process.env,
  signal: ending.signal,
});
