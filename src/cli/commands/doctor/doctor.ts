import { openFile } from "../../api/file-api.ts";
import type { Output } from "../../output/output.ts";
import { countOf } from "../../output/words.ts";
import type { OwnCommand, Place } from "../command.ts";
import { checkFile } from "./file-checks.ts";
import { type Finding, checks } from "./finding.ts";
import { checkFlows } from "./flow-checks.ts";

/** Findings of one check that a person is shown. */
const mostShown = 10;

/** Looks for what deserves attention. */
export const doctor: OwnCommand = {
  name: "doctor",
  operands: [],
  summary: "Look for what deserves attention, and say what to do about it. Exit code 1 if something was found.",
  details:
    "Of a file: its schema, damage, the size of its journal, processes, expired leases, runs without a flow, waiting runs and inboxes. " +
    "Of a file and of an API: overdue and failing flows, paused imports, open failures by cause.",
  options: {},
  async runOn(place, { output }) {
    const findings = await findingsIn(place);
    const ordered = checks.flatMap((check) => findings.filter((finding) => finding.check === check));
    if (output.json) for (const finding of ordered) output.document(finding);
    else show(output, ordered);
    return ordered.length > 0 ? 1 : 0;
  },
};

async function findingsIn(place: Place): Promise<readonly Finding[]> {
  if ("api" in place) return checkFlows(place.api);
  const { findings, isReadable } = await checkFile(place.file);
  if (!isReadable) return findings;
  const file = await openFile(place.file, { readOnly: true });
  try {
    const processes = await file.scheduler.processes();
    return [...findings, ...(processes.length === 0 ? [nobodyRuns] : []), ...(await checkFlows(file.api))];
  } finally {
    await file.close();
  }
}

const nobodyRuns: Finding = {
  check: "processes",
  message: "No process whose scheduler is started has this file open.",
  advice: "Start the application: until then nothing runs.",
};

function show(output: Output, findings: readonly Finding[]): void {
  if (findings.length === 0) {
    output.line({ text: "Nothing was found that deserves attention.", style: "green" });
    return;
  }
  for (const check of checks) {
    const found = findings.filter((finding) => finding.check === check);
    for (const { advice, message } of found.slice(0, mostShown)) {
      output.line({ text: check.padEnd(11), style: "red" }, message);
      output.line(" ".repeat(11), { text: advice, style: "dim" });
    }
    const more = found.length - mostShown;
    if (more > 0) output.line(" ".repeat(11), `and ${countOf(more, "more", "more")}: --json shows all`);
  }
  output.line();
  output.line(`${countOf(findings.length, "finding")}.`);
}
