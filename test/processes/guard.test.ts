import { expect, test } from "vitest";
import { HostProcess, bundle } from "./child-process.ts";
import { until } from "./trials.ts";

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

test.skipIf(process.platform === "win32")("a server of the tests ends with a test that is killed", async () => {
  const program = await bundle("guard-child");
  const parent = new HostProcess<{ readonly what: "started"; readonly pid: number }>(program, {});
  try {
    await parent.until(() => parent.all("started").length > 0);
    const [{ pid } = { pid: 0 }] = parent.all("started");
    const before = isAlive(pid);

    await parent.kill();

    expect(before).toBe(true);
    await until("the server ends", () => !isAlive(pid));
  } finally {
    await parent.kill();
    await program.remove();
  }
});
