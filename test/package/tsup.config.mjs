// A host that bundles its application with tsup: once without its dependencies, as tsup does, and once with all of them.
const options = { entry: ["bundled.mjs"], format: ["cjs"], target: "node20", silent: true };

export default [
  { ...options, outDir: "tsup" },
  { ...options, outDir: "tsup-all", noExternal: [/^(?!node:)/] },
];
