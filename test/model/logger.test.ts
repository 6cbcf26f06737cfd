import { afterEach, describe, expect, test, vi } from "vitest";
import { type Logger, consoleLogger, harmlessLogger, silentLogger, withFields } from "../../src/model/logger.ts";

const levels = ["debug", "info", "warn", "error"] as const;

/** A logger whose every line goes to `write`. */
function loggerOf(write: (level: keyof Logger, fields: object, message: string) => unknown): Logger {
  const line = (level: keyof Logger) => (fields: object, message: string) => void write(level, fields, message);
  return { debug: line("debug"), info: line("info"), warn: line("warn"), error: line("error") };
}

test("withFields adds its fields to every line, and the line's own win", () => {
  const lines: unknown[] = [];
  const logger = withFields(
    loggerOf((...line) => lines.push(line)),
    { run: 1, flow: 2 },
  );

  for (const level of levels) logger[level]({ flow: 3 }, "said");

  expect(lines).toEqual(levels.map((level) => [level, { run: 1, flow: 3 }, "said"]));
});

describe("a harmless logger", () => {
  test("writes what it is given, as a method of the logger it is made of", () => {
    const lines: unknown[] = [];
    class Own implements Logger {
      readonly prefix = "own";
      debug = (fields: object, message: string) => void lines.push([fields, message]);
      info(fields: object, message: string): void {
        lines.push([this.prefix, fields, message]);
      }
      warn = this.debug;
      error = this.debug;
    }

    harmlessLogger(new Own()).info({ a: 1 }, "said");

    expect(lines).toEqual([["own", { a: 1 }, "said"]]);
  });

  test.each(levels)("survives a logger whose %s throws, or rejects", async (level) => {
    const unhandled: unknown[] = [];
    const keep = (error: unknown) => void unhandled.push(error);
    process.on("unhandledRejection", keep);
    const throwing = (): void => {
      throw new Error("the disk is full");
    };
    const rejecting = (async () => Promise.reject(new Error("the pipe is closed"))) as () => void;

    for (const write of [throwing, rejecting])
      harmlessLogger({ debug: write, info: write, warn: write, error: write })[level]({}, "said");
    await new Promise((resolve) => setImmediate(resolve));
    process.off("unhandledRejection", keep);

    expect(unhandled).toEqual([]);
  });
});

describe("the console logger", () => {
  afterEach(() => void vi.restoreAllMocks());

  test("writes warnings and errors, and nothing else", () => {
    const lines: unknown[] = [];
    for (const name of ["debug", "info", "log", "warn", "error"] as const)
      vi.spyOn(console, name).mockImplementation((...line: unknown[]) => void lines.push([name, ...line]));

    for (const level of levels) consoleLogger[level]({ a: 1 }, `a ${level}`);
    for (const level of levels) silentLogger[level]({ a: 1 }, `a ${level}`);

    expect(lines).toEqual([
      ["warn", "poundlock: a warn", { a: 1 }],
      ["error", "poundlock: a error", { a: 1 }],
    ]);
  });
});
