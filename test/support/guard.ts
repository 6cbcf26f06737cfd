import { type ChildProcess, spawn } from "node:child_process";

/** Ends a server once this process has ended, however that was: killed, too, when nothing of it runs any more. */
export function endWithParent(child: ChildProcess): void {
  if (child.pid === undefined) return;
  const endGuard = guard('kill -KILL "$1"', String(child.pid));
  child.once("exit", endGuard);
}

/** The same for a server of PostgreSQL's, whatever process it is by then. Returns what ends that. */
export function endPostgresWithParent(pidFile: string): () => void {
  return guard('kill -QUIT "$(head -n 1 "$1")"', pidFile);
}

// A shell that waits for the end of a pipe, in a group of its own, so that what ends this process's group does not end it.
function guard(command: string, argument: string): () => void {
  if (process.platform === "win32") return () => undefined;
  const shell = spawn("sh", ["-c", `cat >/dev/null; ${command} 2>/dev/null`, "sh", argument], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
  shell.unref();
  // A pipe is a socket, which the types of a child do not say.
  (shell.stdin as typeof shell.stdin & { unref?: () => void }).unref?.();
  // Without a shell servers are ended as before.
  shell.on("error", () => undefined);
  return () => shell.kill("SIGKILL");
}
