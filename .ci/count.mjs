// Prints `N passed, N failed, N skipped` from vitest's JSON reports, added up; fails if a test failed, or if none ran of one
// of them.
import { existsSync, readFileSync } from "node:fs";

const none = { testResults: [] };
const reports = process.argv.slice(2).map((path) => (existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : none));

// A file that could not be loaded, or has a type error outside of its tests, has no failed test to be counted.
const brokenFiles = ({ testResults }) =>
  testResults.filter(
    ({ status, assertionResults }) => status === "failed" && assertionResults.every((test) => test.status !== "failed"),
  ).length;

const sum = (count) => reports.reduce((total, report) => total + count(report), 0);
const passed = sum(({ numPassedTests = 0 }) => numPassedTests);
const failed = sum((report) => (report.numFailedTests ?? 0) + brokenFiles(report));
const skipped = sum(({ numPendingTests = 0, numTodoTests = 0 }) => numPendingTests + numTodoTests);

console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
const allRan = reports.length > 0 && reports.every(({ numPassedTests = 0 }) => numPassedTests > 0);
process.exitCode = failed === 0 && allRan ? 0 : 1;
