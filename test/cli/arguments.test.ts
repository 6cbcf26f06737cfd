import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { commands } from "../../src/cli/commands/commands.ts";
import { type Options, commonOptions } from "../../src/cli/options.ts";
import { run } from "./harness.ts";

describe("a command line that is wrong has exit code 2, and says what may have been meant", () => {
  test.each([
    [["flosw"], 'There is no command "flosw"; did you mean "flows"?'],
    [["flows", "--fiel", "x"], '"poundlock flows" has no option --fiel; did you mean "--file"?'],
    [["flows", "--cause", "x"], '"poundlock flows" has no option --cause; other commands do'],
    [["runs", "--status", "done"], "--status is one of queued, running, completed, failed, canceling, canceled"],
    [["runs", "--limit", "0"], '--limit is a whole number of at least 1; this is "0"'],
    [["runs", "--limit=-1"], '--limit is a whole number of at least 1; this is "-1"'],
    [["runs", "--limit", "1", "--limit", "2"], "--limit is given twice"],
    [["runs", "--file", "--json"], "--file needs a value: --file FILE; one that begins with a dash is written --file="],
    [["runs", "--file"], "--file needs a value: --file FILE"],
    [["runs", "--flow="], "--flow needs a value that is not empty"],
    [["runs", "--json=yes"], "--json takes no value"],
    [["run"], "FLOW is missing: poundlock run FLOW"],
    [["show", "a", "b"], '"b" is one argument too many: poundlock show ID'],
    [["checkpoint"], '"checkpoint" is followed by one of: checkpoint get, checkpoint set'],
    [["checkpoint", "gte", "a"], '"checkpoint" is followed by one of'],
    [["flows"], "Say where the flows are: --file flows.db, or --url with the address of an API"],
    [["flows", "--file", "a", "--url", "http://b"], "Either --file or --url, not both"],
    [["flows", "--file", "a", "--token-env", "B"], "--token-env is for --url"],
    [["flows", "--url", "ftp://b"], "--url is an address that begins with http:// or https://"],
    [["flows", "--url", "http://b?c"], "--url is an address without ? and #"],
    [["run", "a", "--parameters", "{", "--file", "a.db"], "a.db"],
    [["dashboard", "--url", "http://127.0.0.1:1"], "A dashboard is served for a file"],
    [["constructor"], 'There is no command "constructor"'],
    [["flows", "--constructor"], '"poundlock flows" has no option --constructor'],
  ])("%j", async (args, message) => {
    const { code, err, out } = await run(args);

    expect(err).toContain(message);
    expect(out).toBe("");
    // What is wrong with a file is no wrong command line.
    expect(code).toBe(message === "a.db" ? 1 : 2);
  });

  test.each(["create", "update", "patch", "edit", "enable", "disable", "delete", "clone", "rename"])(
    "to %s a flow is refused with the reason",
    async (command) => {
      const { code, err } = await run([command, "orders", "--file", "flows.db"]);

      expect(code).toBe(2);
      expect(err).toContain("flows are changed where their exports and imports are known");
    },
  );

  test("without any command the help is what is said", async () => {
    const { code, err, out } = await run([]);

    expect([code, out]).toEqual([2, ""]);
    expect(err).toContain("poundlock COMMAND --file flows.db");
  });
});

test("options may come before the command", async () => {
  expect((await run(["--file", "none.db", "flows"])).err).toBe("poundlock: none.db: there is no such file\n");
});

describe("help", () => {
  test("of the program has every command, the options of all, and the exit codes", async () => {
    const { code, out } = await run(["--help"]);

    expect(code).toBe(0);
    for (const { name, summary } of commands) {
      expect(out).toContain(`  ${name}`);
      expect(out.replaceAll(/\s+/g, " ")).toContain(summary);
    }
    for (const name of Object.keys(commonOptions)) expect(out).toContain(`--${name}`);
    expect(out).toContain("Exit codes: 0 done; 1 refused");
    expect((await run(["help"])).out).toBe(out);
  });

  test.each(commands.map((command) => [command.name, command] as const))(
    "of %s has its options",
    async (name, command) => {
      const { code, out } = await run([...name.split(" "), "-h"]);

      expect(code).toBe(0);
      for (const option of Object.keys(command.options)) expect(out).toContain(`--${option}`);
      expect((await run(["help", ...name.split(" ")])).out).toBe(out);
      expect(Math.max(...out.split("\n").map((line) => line.length))).toBeLessThanOrEqual(100);
    },
  );

  test("--version says the version of the package", async () => {
    const { version } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };

    expect(await run(["--version"])).toEqual({ code: 0, out: `${version}\n`, err: "" });
  });
});

describe("the guide", () => {
  const guide = readFileSync("docs/guides/command-line.md", "utf8");

  /** What is in the first column of the table below a heading. */
  function namesUnder(heading: string): readonly string[] {
    const [, section = ""] = guide.split(`\n## ${heading}\n`);
    const [table = ""] = section.split("\n## ");
    return [...table.matchAll(/^\| `([^`]+)`/gm)].map(([, name = ""]) => name);
  }

  test("names every command, and no other", () => {
    const usages = commands.map(({ name, operands }) => [name, ...operands].join(" "));

    expect(namesUnder("Commands")).toEqual(usages);
  });

  test("names every option, and no other", () => {
    const groups: readonly Options[] = [commonOptions, ...commands.map(({ options }) => options)];
    const all = groups.flatMap((options) =>
      Object.entries(options).map(([name, { value }]) => (value === undefined ? `--${name}` : `--${name} ${value}`)),
    );

    expect([...namesUnder("Options of all commands"), ...namesUnder("Options of one command")].sort()).toEqual(
      [...new Set(all)].sort(),
    );
  });

  test("names every check of the doctor, and no other", async () => {
    const { checks } = await import("../../src/cli/commands/doctor/finding.ts");

    expect(namesUnder("What the doctor looks at")).toEqual([...checks]);
  });
});
