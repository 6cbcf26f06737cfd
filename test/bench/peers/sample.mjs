import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";

/**
 * The figures of one process for each contender. Of several, the processes live side by side: each is given its `turn`, 0 and
 * more, is started once the one before has sent "ready", and gets a message once all have. Only work that waits most of the
 * time can be measured like that.
 */
export async function samplesOf(work, contenders, value) {
  const begun = [];
  for (const [turn, contender] of contenders.entries()) {
    const one = begin(work, contender, { ...value, turn });
    begun.push(one);
    await Promise.race([one.isReady, one.figures]);
  }
  for (const { child } of begun) if (child.connected) child.send("go");
  return Promise.all(begun.map(({ figures }) => figures));
}

function begin(work, { name: contender, flags = [] }, value) {
  const child = fork(
    fileURLToPath(new URL("child.mjs", import.meta.url)),
    [JSON.stringify({ work, contender, value })],
    {
      execArgv: ["--expose-gc", ...flags],
      env: { ...process.env, NODE_ENV: "production" },
      timeout: 900_000,
    },
  );
  let sent;
  const isReady = new Promise((resolve) => child.on("message", (message) => message === "ready" && resolve()));
  const figures = new Promise((resolve, reject) => {
    child.on("message", (message) => message !== "ready" && (sent = message));
    child.on("exit", (code) => {
      if (code === 0 && sent !== undefined) resolve(sent);
      else reject(new Error(`${work}, ${contender}: the process ended with ${code}`));
    });
  });
  return { child, isReady, figures };
}
