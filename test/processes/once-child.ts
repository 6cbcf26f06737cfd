import { readSync, writeSync } from "node:fs";
import { type OncePoint, type OnceSetting, runOnce } from "./once-host.ts";

/** What it tells its parent, a line each. */
export type OnceReport =
  | { readonly what: "halted"; readonly point: OncePoint }
  | { readonly what: "ended"; readonly how: string }
  | { readonly what: "error"; readonly message: string };

// Written before anything else happens: what comes next may be the end.
function report(line: OnceReport): void {
  writeSync(1, `${JSON.stringify(line)}\n`);
}

const setting = JSON.parse(process.argv[2] ?? "") as OnceSetting;
let steps = 0;
runOnce(setting, (point) => {
  if (++steps !== setting.haltAt) return;
  report({ what: "halted", point });
  // Its parent kills it here, or is gone.
  readSync(0, Buffer.alloc(1));
  process.exit(1);
}).then(
  (how) => report({ what: "ended", how }),
  (error: unknown) => {
    report({ what: "error", message: error instanceof Error ? (error.stack ?? error.message) : String(error) });
    process.exitCode = 1;
  },
);
