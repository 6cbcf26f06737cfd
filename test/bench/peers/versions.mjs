import { readFileSync } from "node:fs";

const { dependencies } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));

/** The packages among these modules and their versions, as one line. poundlock is this very tree. */
export function packageVersions(modules) {
  const names = [...new Set(modules)].filter((name) => name in dependencies && name !== "poundlock").sort();
  return names.map((name) => `${name} ${dependencies[name]}`).join(", ");
}
