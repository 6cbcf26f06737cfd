import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";

/** The figures of one process that did the work once. */
export function sample(work, { name: contender, flags = [] }, value) {
  return new Promise((resolve, reject) => {
    const child = fork(
      fileURLToPath(new URL("child.mjs", import.meta.url)),
      [JSON.stringify({ work, contender, value })],
      {
        execArgv: ["--expose-gc", ...flags],
        env: { ...process.env, NODE_ENV: "production" },
        timeout: 900_000,
      },
    );
    let figures;
    child.on("message", (message) => (figures = message));
    child.on("exit", (code) => {
      if (code === 0 && figures !== undefined) resolve(figures);
      else reject(new Error(`${work}, ${contender}: the process ended with ${code}`));
    });
  });
}
