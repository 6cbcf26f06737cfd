/** The harness of flows, for tests that are checked for our words. */
export { Stage as FlowHarness, minute, noon } from "./harness.ts";
