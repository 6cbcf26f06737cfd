import { isAbsolute } from "node:path";

/**
 * An optional package as the host has installed it; undefined if it has not. No bundler can follow this: webpack,
 * Turbopack and esbuild resolve the names they find in a `require` or an `import`, and fail where such a package is not
 * installed. So it is not in their bundle, but comes from `node_modules` at run time.
 *
 * Throws what the package throws if it is there and cannot be loaded.
 *
 * @param places Files, as paths or URLs, from each of which it is looked for in turn; those that are undefined, or not
 *   absolute, as bundlers leave them, are passed over.
 */
export function hostPackage(name: string, places: readonly (string | undefined)[] = placesHere()): unknown {
  // Bundlers follow an imported createRequire, too.
  const { createRequire } = process.getBuiltinModule("node:module");
  for (const place of places) {
    if (place === undefined || !(isAbsolute(place) || place.startsWith("file:"))) continue;
    const load = createRequire(place);
    const file = resolved(name, load);
    if (file !== undefined) return load(name);
  }
  return undefined;
}

/**
 * This file, then the bundle that has swallowed it, then the program that Node was started with. Not the current
 * directory: whoever can write there must not choose what is loaded.
 */
function placesHere(): readonly (string | undefined)[] {
  return [import.meta.url, bundleFile(), process.argv[1]];
}

function bundleFile(): string | undefined {
  // webpack takes `typeof __filename` to be "string" also where it is not defined.
  try {
    return __filename;
  } catch {
    return undefined;
  }
}

/** Undefined if there is no such package; Yarn's Plug'n'Play says so with the same code. */
function resolved(name: string, { resolve }: NodeJS.Require): string | undefined {
  try {
    return resolve(name);
  } catch (error) {
    if ((error as { code?: unknown }).code === "MODULE_NOT_FOUND") return undefined;
    throw error;
  }
}
