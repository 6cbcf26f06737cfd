import { readFileSync } from "node:fs";

/** The version of this package. */
export function version(): string {
  // Beside the built program, or two folders above this file.
  for (const place of ["../package.json", "../../package.json"]) {
    try {
      const manifest = JSON.parse(readFileSync(new URL(place, import.meta.url), "utf8")) as Record<string, unknown>;
      if (manifest.name === "poundlock") return String(manifest.version);
    } catch {
      // It is not there.
    }
  }
  return "unknown";
}
