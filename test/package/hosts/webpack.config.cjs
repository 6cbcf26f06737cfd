"use strict";

/** A host that makes one file of its application with webpack: as CommonJS, and as an ES module. */
const options = { mode: "production", target: "node20", entry: "./bundled.mjs", devtool: false };
const output = { path: `${__dirname}/webpack` };

module.exports = [
  { ...options, name: "commonjs", output: { ...output, filename: "bundled.cjs" } },
  {
    ...options,
    name: "module",
    output: { ...output, filename: "bundled.mjs", library: { type: "module" }, chunkFormat: "module" },
    experiments: { outputModule: true },
  },
];
