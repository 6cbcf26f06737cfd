import { systemClock } from "../../../clock.ts";
import { messageOf } from "../../../model/message.ts";
import { type SqliteContent, type SqliteInspection, SqliteStorage } from "../../../storage/sqlite/sqlite-storage.ts";
import { fileError } from "../../api/file-api.ts";
import { countOf, durationOf, shellWord, timeOf } from "../../output/words.ts";
import type { Finding } from "./finding.ts";

/** A journal that is larger than this is not written back as it should be, in bytes. */
const largeJournal = 256 * 2 ** 20;

/** Pages in an inbox from which on its flow does not keep up. */
const manyPages = 1_000;

/** How long ago a lease may have expired before somebody should have reclaimed its run, in milliseconds. */
const patienceMs = 60_000;

/** What is wrong with a file, and whether flows can be read from it. @throws CommandError if it cannot be opened. */
export async function checkFile(
  file: string,
): Promise<{ readonly findings: readonly Finding[]; readonly isReadable: boolean }> {
  const found = await inspected(file);
  if ("damage" in found) return { findings: damageFindings({ problems: [found.damage] }), isReadable: false };
  const { content } = found;
  const findings = [...schemaFindings(found), ...damageFindings(found), ...journalFindings(found)];
  if (content === undefined) return { findings, isReadable: false };
  const ofContent = [...leaseFindings(content), ...inboxFindings(content), ...queueFindings(content.oldestQueued)];
  return { findings: [...findings, ...ofContent], isReadable: true };
}

/** `damage`: it is too damaged to be looked into. */
async function inspected(file: string): Promise<SqliteInspection | { readonly damage: string }> {
  try {
    return await SqliteStorage.inspect(file);
  } catch (error) {
    const { cause = error } = error as Error;
    const reason = messageOf(cause);
    if (reason.includes("malformed")) return { damage: reason };
    throw fileError(file, error);
  }
}

function schemaFindings({ expectedVersion, schemaVersion }: SqliteInspection): readonly Finding[] {
  if (schemaVersion === expectedVersion) return [];
  const message =
    schemaVersion === 0
      ? "The file has no tables of poundlock."
      : `The file has schema version ${schemaVersion}, and this version of poundlock reads version ${expectedVersion}.`;
  const advice =
    schemaVersion === 0
      ? "Give the file that the application opens."
      : schemaVersion > expectedVersion
        ? "Use the version of poundlock that the application has, or a newer one."
        : "Start the application with this version once, which brings the file up to date, or use the version that it has.";
  return [{ check: "schema", message, advice }];
}

function damageFindings({ problems }: Pick<SqliteInspection, "problems">): readonly Finding[] {
  return problems.map((problem) => ({
    check: "damage",
    message: `The file is damaged: ${problem.replace(/\s*\n\s*/g, "; ")}.`,
    advice: "Stop the application, keep a copy of the file with its -wal, and restore the newest backup.",
  }));
}

function journalFindings({ walBytes }: SqliteInspection): readonly Finding[] {
  if (walBytes <= largeJournal) return [];
  return [
    {
      check: "journal",
      message: `The journal beside the file (-wal) has ${Math.round(walBytes / 2 ** 20)} MB.`,
      advice:
        "Something reads the file without an end, so that it cannot be written back: close other programs that have it open, or restart the application.",
    },
  ];
}

function leaseFindings({ expiredLeases, orphanedRuns }: SqliteContent): readonly Finding[] {
  const long = systemClock.now() - patienceMs;
  const expired = expiredLeases.filter(({ until }) => Date.parse(until) < long);
  return [
    ...expired.map(({ _flowId, _runId, until }) => ({
      ...({ check: "leases", _flowId, _runId } as const),
      message: `Run ${_runId} of flow ${_flowId} is active, but nobody works on it since ${String(timeOf(until))}.`,
      advice: "Start the application: its scheduler reclaims the run and resumes it.",
    })),
    ...orphanedRuns.map(({ _flowId, _runId }) => ({
      ...({ check: "orphans", _flowId, _runId } as const),
      message: `Run ${_runId} has not ended, and its flow ${_flowId} is gone.`,
      advice: `Cancel it: poundlock cancel ${shellWord(_runId)}`,
    })),
  ];
}

function inboxFindings({ inboxes }: SqliteContent): readonly Finding[] {
  return inboxes
    .filter(({ pages }) => pages >= manyPages)
    .map(({ _flowId, pages }) => ({
      ...({ check: "inbox", _flowId } as const),
      message: `The inbox of flow ${_flowId} has ${countOf(pages, "page")}.`,
      advice: "Its runs do not keep up with what arrives: look whether they run, fail or are slow, before it is full.",
    }));
}

/** The run that waits longest, if that is long. */
function queueFindings(oldest: SqliteContent["oldestQueued"]): readonly Finding[] {
  if (oldest === undefined) return [];
  const { _flowId, _runId, queuedAt } = oldest;
  const waitedMs = systemClock.now() - Date.parse(queuedAt);
  if (!(waitedMs >= longWaitMs)) return [];
  return [
    {
      ...({ check: "queue", _flowId, _runId } as const),
      message: `Run ${_runId} of flow ${_flowId} waits since ${String(timeOf(queuedAt))}, for ${durationOf(waitedMs)}.`,
      advice: `Look whether another run of the flow is active (poundlock runs --flow ${shellWord(_flowId)}), and whether a process with its export is running and has a free slot.`,
    },
  ];
}

/** How long a run may wait before that is worth a look, in milliseconds. */
const longWaitMs = 10 * 60_000;
