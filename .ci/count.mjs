// Prints `N passed, N failed` (and `, N skipped` if any) from vitest's JSON report; fails if a test failed or none ran.
import { existsSync, readFileSync } from "node:fs";

const [, , path = ""] = process.argv;
const report = existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : { testResults: [] };
const { numPassedTests: passed = 0, numPendingTests = 0, numTodoTests = 0 } = report;

// A file that could not be loaded, or has a type error outside of its tests, has no failed test to be counted.
const broken = report.testResults.filter(
  ({ status, assertionResults }) => status === "failed" && assertionResults.every((test) => test.status !== "failed"),
);
const failed = (report.numFailedTests ?? 0) + broken.length;
const skipped = numPendingTests + numTodoTests;

console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
