/** Every piece of work, by the name of its file in `works/`, in the order of docs/benchmarks.md. */
export const allWorks = [
  "records",
  "csv-to-sqlite",
  "http-to-postgres",
  "engine",
  "durable-runs",
  "several-processes",
  "accept",
  "timetable-1000",
  "timetable-10000",
  "timetable-100000",
  "start",
  "scale",
];

/**
 * A piece of work: `{ title, prepare(folder) → { value, close? }, contenders, verify?(value, contender), cost(figures),
 * columns, goals?, packages?, guarantees?, inTurns?, plots?(measured) → lines }`. `value` is JSON and reaches every child, with `out`,
 * a folder that is empty for each sample. `packages` are those whose versions are named, by default what the contenders
 * load; `guarantees` is the title of the last column. `inTurns`: the samples of a round live side by side,
 * and only one of them is busy at any time. A contender is `{ name, guarantee, run(value) → figures?, modules?,
 * role?, flags?, missing?(value) }`: `modules` are loaded before the clock starts, `flags` are V8's.
 */
export async function workNamed(name) {
  return (await import(`./works/${name}.mjs`)).default;
}
