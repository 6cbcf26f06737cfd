import type { Part } from "./text.ts";

/** An instant, to the second, in UTC: `2026-11-26 18:02:11`. Undefined stays so. */
export function timeOf(iso: string | undefined): string | undefined {
  return iso === undefined ? undefined : iso.replace("T", " ").slice(0, 19);
}

/** How long it takes or took, in the two largest units: `1 h 5 min`. */
export function durationOf(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1_000));
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))} ms`;
  const units = [
    [86_400, "d"],
    [3_600, "h"],
    [60, "min"],
    [1, "s"],
  ] as const;
  const first = units.findIndex(([size]) => seconds >= size);
  let left = seconds;
  const words = units.slice(first, first + 2).flatMap(([size, unit]) => {
    const count = Math.floor(left / size);
    left -= count * size;
    return count === 0 ? [] : [`${count} ${unit}`];
  });
  return words.join(" ");
}

/** `1 failure`, `1,341 failures`. */
export function countOf(count: number, one: string, several = `${one}s`): string {
  return `${count.toLocaleString("en")} ${count === 1 ? one : several}`;
}

const colors: Readonly<Record<string, "green" | "red" | "yellow" | "cyan">> = {
  completed: "green",
  failed: "red",
  open: "red",
  paused: "yellow",
  canceling: "yellow",
  running: "cyan",
};

/** A status, by its word, and where colors are shown by its color, too. */
export function statusOf(status: string): Part {
  const style = colors[status];
  return style === undefined ? status : { text: status, style };
}

/** As it is typed into a shell, where it is one word and nothing else. */
export function shellWord(text: string): string {
  return /^[\w.:/@+-]+$/.test(text) && !text.startsWith("-") ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
