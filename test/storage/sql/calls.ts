import { flowStates } from "../../../src/model/flow/activity.ts";
import { noStatistics } from "../../../src/model/statistics.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import {
  endingOf,
  failureOf,
  flowOf,
  moving,
  pageOf,
  roomy,
  startOf,
  tickOf,
} from "../../../src/testing/storage/harness.ts";

const at = Date.UTC(2030, 0, 1);
const error = { code: "lease_lost", message: "it died" };
const runLease = { _runId: "run", token: "token" };
const flow = flowOf("flow", { nextRunAt: new Date(at).toISOString() });
const realtime = startOf("arrived", "flow", { trigger: "realtime" });
const checkpoint = { value: 1, version: 1 };
const places = moving({
  checkpoint,
  position: { _runId: "run", pages: 1, at },
  behind: true,
  pause: {
    since: new Date(at).toISOString(),
    until: "time",
    resumeAt: new Date(at + 1).toISOString(),
    reason: { code: "import_unavailable", message: "503" },
    attempts: 1,
  },
  inbox: "1",
});
const page = pageOf(1, { failures: [failureOf("1")], delivered: ["2"], superseded: ["3"], ...places });
const folded = pageOf(2, { failures: [failureOf("4", { key: failureOf("1").key })] });
const many = [5, 6, 7, 8].map((nth) => failureOf(String(nth)));
const chained = { starts: [startOf("chained")], maxQueued: 10 };
const arrival = { _id: "a", _exportId: "orders", records: [1], ids: ["x"], at, starts: [realtime] };
const me = {
  ...{ _id: "me", roles: [], exportIds: [], importIds: [], concurrency: 1, running: 0, version: "0" },
  ...{ startedAt: new Date(at).toISOString(), seenAt: new Date(at).toISOString() },
};
const none = Promise.resolve();
const all = { limit: 10, after: "5" };

/** Every method of a storage; some with each filter or rule that has statements of its own. */
export const calls: Readonly<Record<string, (storage: Storage) => Promise<unknown>>> = {
  insertFlow: (s) => s.insertFlow(flow),
  findFlow: (s) => s.findFlow("flow"),
  listFlows: (s) => s.listFlows(all),
  "listFlows of an export": (s) => s.listFlows({ ...all, _exportId: "orders" }),
  "listFlows of an import": (s) => s.listFlows({ ...all, _importId: "ledger" }),
  "listFlows of an integration": (s) => s.listFlows({ ...all, _integrationId: "acme" }),
  "listFlows of a connector": (s) => s.listFlows({ ...all, _connectorId: "shop" }),
  replaceFlow: (s) => s.replaceFlow({ ...flow, disabled: true }, { expected: flow.lastModified, reschedule: true, at }),
  "replaceFlow back": (s) => s.replaceFlow(flow, { expected: flow.lastModified, reschedule: true, at }),
  dueFlows: (s) => s.dueFlows(at, 10),
  "dueFlows after": (s) => s.dueFlows(at, 10, { dueAt: 1, _flowId: "a" }),
  nextDueAt: (s) => s.nextDueAt(),
  scheduledFlows: (s) => s.scheduledFlows(10, "a"),
  rescheduleFlows: (s) =>
    s.rescheduleFlows([{ _flowId: "flow", expected: at, dueAt: at, basis: "b", forgetAfter: at }]),
  "listFlows of a group": (s) => s.listFlows({ ...all, group: "shop" }),
  queueRun: (s) => s.queueRun(startOf("run"), roomy),
  "overview while a run waits": (s) => s.overview({ now: at }),
  "queueRun resume": (s) => s.queueRun(startOf("resume", "flow", { trigger: "resume" }), roomy),
  "queueRun retry": (s) =>
    s.queueRun(startOf("auto", "flow", { trigger: "retry", retry: { _importId: "ledger", dueBy: "x" } }), roomy),
  "queueDue bufferOne": (s) => s.queueDue([tickOf("flow", "t1", { dueAt: 0, nextDueAt: 1 })], rule("bufferOne")),
  "queueDue of several flows": (s) =>
    s.queueDue(
      ["x1", "x2"].map((_id) => tickOf(_id, `of ${_id}`, { dueAt: 0, nextDueAt: 1 })),
      rule("bufferOne"),
    ),
  "queueDue bufferAll": (s) => s.queueDue([tickOf("flow", "t2", { dueAt: 1, nextDueAt: 2 })], rule("bufferAll")),
  "queueDue skip": (s) => s.queueDue([tickOf("flow", "t3", { dueAt: 2, nextDueAt: 3 })], rule("skip")),
  findRun: (s) => s.findRun("run"),
  listRuns: (s) => s.listRuns(all),
  "listRuns of a flow": (s) => s.listRuns({ ...all, _flowId: "flow" }),
  "listRuns of an export": (s) => s.listRuns({ ...all, _exportId: "orders" }),
  "listRuns of an import": (s) => s.listRuns({ ...all, _importId: "ledger" }),
  "listRuns of an import and an export": (s) => s.listRuns({ ...all, _importId: "ledger", _exportId: "orders" }),
  "listRuns of an import that are completed": (s) => s.listRuns({ ...all, _importId: "ledger", status: "completed" }),
  "listRuns of an import that failed": (s) => s.listRuns({ ...all, _importId: "ledger", status: "failed" }),
  "listRuns of an import that wait": (s) => s.listRuns({ ...all, _importId: "ledger", status: "queued" }),
  "listRuns of an import and a flow": (s) => s.listRuns({ ...all, _importId: "ledger", _flowId: "flow" }),
  "listRuns of an integration": (s) => s.listRuns({ ...all, _integrationId: "acme" }),
  "listRuns of a connector": (s) => s.listRuns({ ...all, _connectorId: "shop" }),
  "listRuns that failed": (s) => s.listRuns({ ...all, status: "failed" }),
  "listRuns that were canceled": (s) => s.listRuns({ ...all, status: "canceled" }),
  "listRuns that wait": (s) => s.listRuns({ ...all, status: "queued" }),
  "listRuns that run": (s) => s.listRuns({ ...all, status: "running" }),
  "listRuns of an export that are being canceled": (s) =>
    s.listRuns({ ...all, _exportId: "orders", status: "canceling" }),
  "listRuns of a connector that failed": (s) => s.listRuns({ ...all, _connectorId: "shop", status: "failed" }),
  "listRuns of an export that were canceled": (s) => s.listRuns({ ...all, _exportId: "orders", status: "canceled" }),
  "listRuns of a trigger": (s) => s.listRuns({ ...all, trigger: "retry" }),
  "listRuns of a flow that failed": (s) => s.listRuns({ ...all, _flowId: "flow", status: "failed" }),
  claimRun: (s) => s.claimRun("flow", { token: "token", at, until: at + 1 }),
  renewLeases: (s) => s.renewLeases([runLease], at + 1),
  commitPage: (s) => s.commitPage(runLease, page),
  "commitPage that folds": (s) => s.commitPage(runLease, folded),
  "commitPage of many failures": (s) => s.commitPage(runLease, pageOf(3, { failures: many })),
  "commitPage that folds many": (s) => s.commitPage(runLease, pageOf(4, { failures: many })),
  listLeases: (s) => s.listLeases(10, "a"),
  releaseRun: (s) => s.releaseRun(runLease),
  "claimRun again": (s) => s.claimRun("flow", { token: "token", at, until: at + 1 }),
  endRun: (s) =>
    s.endRun(
      runLease,
      endingOf("completed", 9, { ...places, resume: startOf("again", "flow", { trigger: "resume" }), next: chained }),
    ),
  "claimRun of the next": (s) => s.claimRun("flow", { token: "next", at, until: at }),
  reclaimExpiredRuns: (s) => s.reclaimExpiredRuns({ now: at, maxCrashes: 0, error, limit: 10 }),
  waitingFlows: (s) => s.waitingFlows(10, "a"),
  "reclaimExpiredRuns unchanged": (s) =>
    s.reclaimExpiredRuns({ now: 0, unchanged: [{ _runId: "run", until: 1 }], maxCrashes: 0, error, limit: 10 }),
  findPlaces: (s) => s.findPlaces("flow"),
  setCheckpoint: (s) => s.setCheckpoint("flow", checkpoint, { _importIds: ["ledger"], at }),
  endWait: (s) => s.endWait("flow", at),
  endPauses: (s) => s.endPauses("flow", ["ledger"]),
  resumableFlows: (s) => s.resumableFlows(at, 10, "a"),
  nextResumeAt: (s) => s.nextResumeAt(at),
  findFailure: (s) => s.findFailure("1"),
  listFailures: (s) => s.listFailures(all),
  "listFailures of a flow that are open": (s) => s.listFailures({ ...all, _flowId: "flow", status: "open" }),
  "listFailures of a flow and an import that are open": (s) =>
    s.listFailures({ ...all, _flowId: "flow", _importId: "ledger", status: "open" }),
  "listFailures of a run": (s) => s.listFailures({ ...all, _runId: "run" }),
  "listFailures of an integration": (s) => s.listFailures({ ...all, _integrationId: "acme" }),
  "listFailures by id": (s) => s.listFailures({ ...all, _ids: ["1", "2", "3"] }),
  "listFailures of a key": (s) => s.listFailures({ ...all, _flowId: "flow", key: "k", fault: "retry" }),
  "listFailures of a cause": (s) => s.listFailures({ ...all, cause: "c", status: "open" }),
  "listFailures of a cause, newest first": (s) => s.listFailures({ ...all, cause: "c", newestFirst: true }),
  "listFailures of a cause and an integration": (s) =>
    s.listFailures({
      ...all,
      cause: "c",
      _integrationId: "acme",
      _importId: "ledger",
      newestFirst: true,
      through: "2",
    }),
  "listFailures by the beginning of a key": (s) => s.listFailures({ ...all, keyPrefix: "k", newestFirst: true }),
  "listFailures of a flow by the beginning of a key": (s) =>
    s.listFailures({ ...all, keyPrefix: "k", _flowId: "flow", status: "open" }),
  "listFailures by what they say, newest first": (s) => s.listFailures({ limit: 1, text: "closed", newestFirst: true }),
  "listFailures of a cause by what they say": (s) => s.listFailures({ limit: 1, text: "closed", cause: "c" }),
  listFailureIds: (s) => s.listFailureIds({ ...all, cause: "c", status: "open", through: "9" }),
  "listFailureIds by what they say": (s) => s.listFailureIds({ limit: 1, text: "closed", cause: "c", through: "9" }),
  "listFailureIds of a flow by the beginning of a key": (s) =>
    s.listFailureIds({ ...all, keyPrefix: "k", _flowId: "flow", status: "open" }),
  listCauses: (s) => s.listCauses({ limit: 10 }),
  "listCauses of an integration": (s) => s.listCauses({ limit: 10, _integrationId: "acme" }),
  "listCauses of disabled flows": (s) => s.listCauses({ limit: 10, disabled: true }),
  "listCauses of a flow": (s) => s.listCauses({ limit: 10, _flowId: "flow" }),
  flowsOfFailures: (s) => s.flowsOfFailures({ limit: 10, cause: "c", through: "9", after: "a" }),
  "flowsOfFailures of a key": (s) => s.flowsOfFailures({ limit: 10, key: "k", _exportId: "orders" }),
  "flowsOfFailures of a run": (s) => s.flowsOfFailures({ limit: 10, _runId: "1" }),
  "flowsOfFailures of an import": (s) => s.flowsOfFailures({ limit: 10, _importId: "ledger" }),
  "listFlows by a part of their name": (s) => s.listFlows({ ...all, q: "flow" }),
  "listFlows of an integration by a part of their name": (s) =>
    s.listFlows({ ...all, q: "flow", _integrationId: "acme" }),
  ...Object.fromEntries(
    flowStates.map((state) => [
      `listFlows that are ${state}`,
      (s: Storage) => s.listFlows({ limit: 10, state, now: at, _integrationId: "acme" }),
    ]),
  ),
  flowActivities: (s) => s.flowActivities({ _flowIds: ["flow"], now: at, _integrationId: "acme" }),
  saveStatistics: (s) => s.saveStatistics([{ ...noStatistics, hour: 0, process: "me" }]),
  listStatistics: (s) => s.listStatistics({ from: 0, until: at }),
  "listStatistics of an integration": (s) => s.listStatistics({ from: 0, until: at, _integrationId: "acme" }),
  compactStatistics: (s) => s.compactStatistics({ foldBefore: 1, forgetBefore: 0, limit: 10 }),
  overview: (s) => s.overview({ now: at }),
  "overview of an integration": (s) => s.overview({ now: at, _integrationId: "acme" }),
  completeCauses: (s) => s.completeCauses(10),
  "listFailures that are due": (s) =>
    s.listFailures({
      ...all,
      _flowId: "flow",
      _exportId: "orders",
      _importId: "ledger",
      status: "open",
      retryUntil: at,
    }),
  openKeys: (s) => s.openKeys({ ...all, _flowId: "flow", _exportId: "orders", _importId: "ledger" }),
  countOpenFailures: (s) => s.countOpenFailures("flow", 10),
  dueRetries: (s) => s.dueRetries(at, 10),
  nextRetryAt: (s) => s.nextRetryAt(at),
  editFailure: (s) => s.editFailure("1", { record: 1, at }),
  resolveFailures: (s) => s.resolveFailures(["1", "2"], at),
  appendInbox: (s) => s.appendInbox(arrival, roomy),
  readInbox: (s) => s.readInbox("flow", { maxRecords: 10, after: "0" }),
  dropInbox: (s) => s.dropInbox("flow", { _ids: ["a"], _importId: "ledger" }),
  unreadInboxes: (s) => s.unreadInboxes(10, "a"),
  cancelRun: (s) => s.cancelRun("arrived", { at, discard: true }),
  prune: (s) => s.prune({ endedBefore: at, runsPerFlow: 1, limit: 10, now: at }),
  deleteFlow: (s) => s.deleteFlow("flow", { at, limit: 0 }),
  purgeFlows: async (s) => {
    while (await s.purgeFlows({ limit: 10 }));
  },
  "purgeFlows of one": (s) => s.purgeFlows({ limit: 10, _flowId: "flow" }),
  claimDuty: (s) => s.claimDuty({ name: "listen:orders", holder: "me", at, until: at + 1 }),
  "claimDuty again": (s) => s.claimDuty({ name: "listen:orders", holder: "me", at, until: at + 2 }),
  keepProcess: (s) => s.keepProcess(me, at),
  listProcesses: (s) => s.listProcesses(at),
  removeProcess: (s) => s.removeProcess("me"),
  followChanges: (s) => s.changes?.followChanges({ _id: "me", at, until: at + 1 }) ?? none,
  changesSince: async (s) => {
    const { changes } = s;
    const place = await changes?.followChanges({ _id: "me", at, until: at + 1 });
    await s.insertFlow(flowOf("followed"));
    await changes?.changesSince(place ?? "", { limit: 10, at });
  },
  forgetChanges: (s) => s.changes?.forgetChanges(at) ?? none,
  unfollowChanges: (s) => s.changes?.unfollowChanges("me") ?? none,
  releaseDuty: (s) => s.releaseDuty({ name: "listen:orders", holder: "me" }),
};

function rule(overlap: "bufferOne" | "bufferAll" | "skip") {
  return { overlap, maxQueued: 10 };
}
