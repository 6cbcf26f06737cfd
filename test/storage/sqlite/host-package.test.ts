import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, expect, test } from "vitest";
import { hostPackage } from "../../../src/storage/sqlite/host-package.ts";

const folder = mkdtempSync(join(tmpdir(), "poundlock-host-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A host application that has `packages` installed, as name → text of its main file; returns the path of its program. */
function application(name: string, packages: Readonly<Record<string, string>>): string {
  for (const [installed, text] of Object.entries(packages)) {
    mkdirSync(join(folder, name, "node_modules", installed), { recursive: true });
    writeFileSync(join(folder, name, "node_modules", installed, "index.js"), text);
  }
  return join(folder, name, "dist", "main.js");
}

test("a package is found from the first place that has it, and from no later one", () => {
  const without = application("without", { other: "" });
  const first = application("first", { driver: "module.exports = 'first'" });
  const second = application("second", { driver: "module.exports = 'second'" });

  expect(hostPackage("driver", [without, first, second])).toBe("first");
  expect(hostPackage("driver", [pathToFileURL(second).href, first])).toBe("second");
});

test("places that a bundler has left without a file are passed over", () => {
  const here = application("here", { driver: "module.exports = 'found'" });

  expect(hostPackage("driver", [undefined, "", "index.js", "webpack:///dist/main.js", here])).toBe("found");
});

test("a package that is installed nowhere is undefined", () => {
  expect(hostPackage("driver", [application("none", {}), undefined])).toBeUndefined();
  expect(hostPackage("driver", [])).toBeUndefined();
});

test("a package that lacks one of its own throws that, and no other place is tried", () => {
  const broken = application("broken", { driver: "require('its-own-binary')" });
  const whole = application("whole", { driver: "" });

  expect(() => hostPackage("driver", [broken, whole])).toThrow("Cannot find module 'its-own-binary'");
});

test("without places it looks from its own file and from the program, and not from the current directory", () => {
  application("elsewhere", { "driver-of-directory": "module.exports = 'loaded'" });
  const before = process.cwd();
  process.chdir(join(folder, "elsewhere"));
  try {
    expect(hostPackage("libsql")).toBeTypeOf("function");
    expect(hostPackage("driver-of-directory")).toBeUndefined();
  } finally {
    process.chdir(before);
  }
});
