/** Every piece of work, by the name of its file in `works/`. */
export const allWorks = ["records", "durable-runs", "timetable", "start"];

/**
 * A piece of work: `{ title, prepare(folder) → { value, close? }, contenders, verify?(value, contender), columns, best? }`.
 * `value` is JSON and reaches every child. A contender is `{ name, guarantee, run(value) → figures? , missing?(value) }`.
 */
export async function workNamed(name) {
  return (await import(`./works/${name}.mjs`)).default;
}
