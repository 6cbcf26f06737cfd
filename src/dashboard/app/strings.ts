import { counted, exact } from "./format/numbers.ts";

// Every sentence and label of the page, in one place for translation. English only. A constant each, so that the build
// gives them short names and leaves out what is not used.

export const record = "Record";
export const searchInRecord = "Search in the record";
export const nothingFound = "Nothing in it contains this.";
export const cutAt = (shown: string, all: string) => `The first ${shown} of ${all} characters; download the rest.`;
export const loading = "Loading";
export const tryAgain = "Try again";
export const cancel = "Cancel";
export const dismiss = "Dismiss";
export const copy = "Copy";
export const copied = "Copied";
export const notCopied = "The browser did not allow copying";
export const download = "Download";
export const show = "Show";
export const all = "All";
export const any = "any";
export const notAllowed = "You are not allowed to see or do this.";
export const offline = "The server cannot be reached. What is shown may be old.";
export const goneRow = "Delivered or removed since this list was loaded";
export const noSuchPage = "There is no such page";
export const noSuchPageWhy = "The address leads to nothing here. It may have been cut when it was copied.";
export const apiMissing = (api: string) =>
  `Nothing responds at ${api}. The handler's basePath has to be the dashboard's basePath followed by /api.`;

export const navMain = "Main";
export const navOverview = "Overview";
export const navFlows = "Flows";
export const navRuns = "Runs";
export const navFailures = "Failures";
export const navFind = "Find";
export const navFindLabel = "Find a record by its key";
export const navFindHint = "Find a record";
export const navSkip = "Skip to content";
export const navZone = "Time zone";
export const navFlowZone = (name: string) => `${name}, of the flow`;
export const navSignedIn = "Signed in";
export const navSignOut = "Sign out";

export const live = {
  live: "live",
  connecting: "connecting",
  polling: "every 15 s",
  offline: "offline",
  offlineSince: (when: string) => `offline since ${when}`,
} as const;

export const signInTitle = (name: string) => `Sign in to ${name}`;
export const signInToken = "Access token";
export const signInHint = "It is kept in this window only, until you sign out or close it.";
export const signInRefused = "This token was refused.";
export const signInSubmit = "Sign in";
export const signInBySite =
  "You are not signed in. Sign in to the application that this page belongs to, and load it again.";
export const signInReload = "Load again";

export const shortcutsTitle = "Keyboard shortcuts";
export const shortcutsHelp = "Show this list";
export const shortcutsEscape = "Close a dialog";
export const shortcutsClose = "Close";

export const runStatus = {
  queued: "queued",
  running: "running",
  completed: "completed",
  failed: "failed",
  canceling: "canceling",
  canceled: "canceled",
} as const;
export const trigger = {
  schedule: "schedule",
  "catch-up": "catch-up",
  manual: "by hand",
  realtime: "real time",
  retry: "retry",
  resume: "resumed import",
  chained: "after another flow",
} as const;
export const importStatus = {
  completed: "completed",
  failed: "failed",
  paused: "paused",
  behind: "behind",
  skipped: "skipped",
} as const;

export const overviewAttention = "Needs attention";
export const overviewCalm = (flows: number) =>
  `Nothing needs attention: of ${counted(flows, "enabled flow")} none is failing, overdue or paused.`;
export const overviewFailing = "Failing";
export const overviewOverdue = "Overdue";
export const overviewPaused = "Paused";
export const overviewOpenFailures = "Open failures";
export const overviewRunning = "Running";
export const overviewQueued = "Queued";
export const overviewOldest = (when: string) => `oldest ${when}`;
/** 0: it is not known how often. */
export const overviewFailedTimes = (runs: number, isLeast: boolean) =>
  runs === 0
    ? "failing since"
    : runs === 1
      ? "failed"
      : `failed ${isLeast ? "at least " : ""}${exact(runs)} times since`;
export const overviewLastRun = "last run";
export const overviewLastRan = "last ran";
export const overviewOverdueSince = "overdue since";
export const overviewPausedSince = (name: string) => `${name} paused since`;
export const overviewResumes = "resumes";
export const overviewByPerson = "until someone resumes it";
export const overviewMore = (count: number) => `${exact(count)} more`;
export const overviewByHour = "48 hours";
export const overviewByDay = "30 days";
export const overviewDelivered = "delivered";
export const overviewFailed = "failed";
export const overviewIgnored = "ignored";
export const overviewNoRecords = "No records have been moved in this time. Bars appear as runs move records.";
export const overviewAsTable = "The same as a table";
export const overviewFrom = "From";
export const overviewChart = (delivered: number, failed: number, hours: string) =>
  `${exact(delivered)} records delivered and ${exact(failed)} failed in ${hours}`;
export const overviewRunningNow = "Running now";
export const overviewNothingRuns = "No flow is running at the moment.";
export const overviewCauses = "Open failures by cause";

export const flowsName = "Name";
export const flowsSearch = "Part of a name";
export const flowsPath = "From → to";
export const flowsSchedule = "Schedule";
export const flowsNext = "Next";
export const flowsLastRun = "Last run";
export const flowsOpen = "Open failures";
export const flowsOnDemand = "on demand";
export const flowsDisabled = "disabled";
export const flowsNeverRan = "none has ended";
export const flowsState = "State";
export const flowsIntegration = "Integration";
export const flowsStates = {
  failing: "failing",
  overdue: "overdue",
  paused: "paused",
  failures: "with open failures",
  running: "running",
  queued: "queued",
} as const;
export const flowsEmpty =
  "There are no flows yet. The application defines them in code, or creates them through the API.";
export const flowsEmptyFiltered = "No flow matches these filters.";
export const flowsNextPage = "Next page";
export const flowsFirstPage = "First page";

export const flowEnabled = "enabled";
export const flowNextRun = "next";
export const flowOnDemand = "Runs on demand only";
export const flowRun = "Run now";
export const flowSample = "Sample run…";
export const flowSampleTitle = "Run a sample?";
export const flowSampleWhy = "Reads and delivers at most this many records for each import. No checkpoint moves.";
export const flowSampleLimit = "Records for each import";
export const flowSampleConfirm = (limit: number) => `Run with ${counted(limit, "record")}`;
export const flowDisable = "Disable…";
export const flowEnable = "Enable";
export const flowDisableTitle = "Disable this flow?";
export const flowDisableWhy =
  "It gets no more runs: waiting runs are canceled, the running one may finish, records are not taken in.";
export const flowDisableConfirm = "Disable the flow";
export const flowClone = "Clone…";
export const flowCloneTitle = "Clone this flow?";
export const flowCloneWhy = "The copy is disabled and has no checkpoint: enabled, it reads from the start.";
export const flowCloneConfirm = "Clone the flow";
export const flowCloned = "The copy was created:";
export const flowQueued = "A run was queued:";
export const flowDiagram = "What the flow links";
export const flowNoRuns = "This flow has not run yet.";
export const flowRunBar = (status: string, took: string) => `${status}, ${took}`;
export const flowRunsSummary = (runs: number, failed: number) =>
  `Durations of the last ${counted(runs, "run")}, ${exact(failed)} of them failed`;
export const flowFailures = "Failures by cause";
export const flowNoFailures = "No record of this flow waits as a failure.";
export const flowDeliveries = "Checkpoints";
export const flowCheckpoint = "Checkpoint";
export const flowFromStart = "from the start";
export const flowMovedAt = "Moved";
export const flowBehind = ({ isLeast, records }: { readonly isLeast: boolean; readonly records: number }) =>
  records === 0 ? "behind other imports" : `${isLeast ? "at least" : "about"} ${counted(records, "record")} behind`;
/** To two digits: it is an average. */
export const flowRate = (perHour: number) => `${exact(Number(perHour.toPrecision(2)))}/h`;
export const flowRateWhy = "Records delivered an hour, on average of the last runs";
export const flowSetCheckpoint = "Change…";
export const flowSetTitle = (name: string) => `Change the checkpoint of ${name}?`;
export const flowSetValue = "Checkpoint as JSON; empty: from the start";
export const flowSetAgain = (records: number | undefined) =>
  "Without a checkpoint everything is read again, what was delivered before included." +
  (records === undefined ? "" : ` The last completed run read ${counted(records, "record")}.`);
export const flowSetWhy = "What lies between the two checkpoints is read again, or is left out.";
export const flowSetRunning = "The flow is running: a checkpoint can be changed once it has ended.";
export const flowSetConfirm = "Change the checkpoint";
export const flowSetDone = "The checkpoint was changed.";
export const flowResume = "Resume now";
export const flowResumed = "The import goes on.";
export const flowPaused = (when: string) => `paused since ${when}`;
export const flowOpenFailures = (open: number) => counted(open, "open failure");
export const flowInbox = "Inbox";
export const flowInboxEmpty =
  "Nothing waits. Records that arrive in real time wait here until every import has settled them.";
export const flowInboxMore = (pages: number) => `These are the oldest ${exact(pages)} pages; more wait.`;
export const flowInboxPage = "Arrived";
export const flowInboxFor = "Waits for";
export const flowDrop = "Drop…";
export const flowDropTitle = (records: number) => `Drop ${counted(records, "record")}?`;
export const flowDropWhy = "They are not delivered any more. This cannot be undone.";
export const flowDropConfirm = (records: number) => `Drop ${exact(records)}`;
export const flowDropped = (records: number) => `${counted(records, "record")} dropped.`;
export const flowDue = "Due next";
export const flowInZone = (time: string, zone: string) => `(${time} in ${zone})`;
export const flowNoSchedule = "This flow has no schedule: it runs on demand, or as records arrive.";
export const flowTryOther = "Try another expression";
export const flowTryIt = "Try";
export const flowDefinition = "Definition";
export const flowSave = "Save…";
export const flowSaveTitle = "Save the definition?";
export const flowSaveConfirm = "Save the definition";
export const flowSaved = "Saved.";
export const flowChangedMeanwhile =
  "Someone else has changed the flow meanwhile. Lines with − are theirs, those with + are yours.";
export const flowReset = "Discard my changes";
export const flowNotJson = (why: string) => `This is not JSON: ${why}`;
export const flowGone = "This flow does not exist, or not any more.";

export const runsFlow = "Flow";
export const runsStatus = "Status";
export const runsTrigger = "Trigger";
export const runsStarted = "Started";
export const runsTook = "Took";
export const runsDelivered = "Delivered";
export const runsFailed = "Failed";
export const runsIgnored = "Ignored";
export const runsEmpty =
  "There are no runs yet. A flow runs when its schedule is due, on demand, or as records arrive.";
export const runsEmptyFiltered = "No run matches these filters.";
export const runsFresh = (runs: number) => `${counted(runs, "new run")}: show`;

export const runTitle = "Run";
export const runOf = "of";
export const runDue = "Due";
export const runQueued = "Queued";
export const runEnded = "Ended";
export const runPages = "Pages";
export const runPagesOf = (done: number, read: number) => `${exact(done)} committed, ${exact(read)} read`;
export const runSample = "Sample";
export const runSampleOf = (limit: number) =>
  `at most ${counted(limit, "record")} for each import; no checkpoint moves`;
export const runParameters = "Parameters";
export const runCoalesced = "Coalesced";
export const runCoalescedWhy = (count: number) =>
  `${counted(count, "more due time", "more due times")} found this run waiting`;
export const runWaitsUntil = "Waits until";
export const runImports = "Records";
export const runRead = "Read";
export const runOutcome = "Outcome";
export const runTotal = "Total";
export const runCancel = "Cancel…";
export const runCancelTitle = "Cancel this run?";
export const runCancelWhy = "It ends as soon as its code reacts. What it has committed stays.";
export const runCancelConfirm = "Cancel the run";
export const runCanceled = "The run is being canceled.";
export const runProgress = (done: number, total: number | undefined) =>
  total === undefined ? `${exact(done)} records` : `${exact(done)} of ${exact(total)}`;
export const runAbout = (time: string) => `about ${time} left`;
export const runRate = (perMinute: number) => `${exact(perMinute)} a minute`;
export const runRetries = "Retries";
export const runRetry = (name: string, attempt: number, when: string, message: string) =>
  `${name}: attempt ${exact(attempt)} ended with “${message}”; the next one in ${when}`;
export const runNoRetries = "No attempt has had to be repeated since this page was opened.";
export const runFailures = "Failures of this run";
export const runNoFailures = "Every record of this run was delivered or ignored.";
export const runError = "Why it failed";
export const runTrace = "Trace";
export const runGone = "This run does not exist, or not any more: ended runs are removed after a while.";

export const codes = {
  export_failed:
    "The export could not read its source. What was committed before stays, and the next run goes on from there.",
  import_unavailable:
    "The destination did not respond through all attempts. The import is paused and goes on by itself.",
  import_failed: "The import's last step failed, after its records had been written.",
  contract_violation:
    "The export or import did something that its contract does not allow: its code has to be corrected.",
  stopped_by_import: "The import asked to stop: its credentials or configuration have to be corrected.",
  too_many_failures: "Too many records failed. The import waits until someone has looked at them.",
  nothing_delivered: "Every record was rejected: a rule of the import, or its map, has probably changed.",
  counts_mismatch: "Records were counted that do not add up. This is a defect of the import or of the library.",
  lease_lost: "The process that ran it died or was frozen, several times.",
  storage_failed: "The storage could not keep what was read.",
  unexpected_error: "Something threw that nothing expects to: a defect of the library, or of code that it calls.",
} as Readonly<Record<string, string>>;
export const faults = {
  retry: "The destination was not able to take it. It was certainly not applied, and another attempt may succeed.",
  reject: "The destination refused this record. It was certainly not applied, and as it stands it never will be.",
  unknown: "It is not known whether the record was applied: the attempt ended without a result.",
} as const;

export const failuresByCause = "By cause";
export const failuresOneByOne = "One by one";
export const failuresGrouping = "Grouping";
export const failuresCause = "Cause";
export const failuresImport = "Import";
export const failuresFault = "Fault";
export const failuresKey = "Key";
export const failuresOpen = "Open";
export const failuresFirst = "First";
export const failuresLast = "Last";
export const failuresMessage = "Message";
export const failuresAttempts = "Attempts";
export const failuresRetry = "Retry…";
export const failuresResolve = "Resolve…";
export const failuresOpenOnes = "open";
export const failuresResolvedOnes = "resolved";
export const failuresSince = "Stored";
export const failuresPeriods = {
  hour: "in the last hour",
  day: "in the last 24 hours",
  week: "in the last 7 days",
} as const;
export const failuresKeyLabel = "Key of a record";
export const failuresTextLabel = "Text in record or message";
export const failuresFilter = "Filter";
export const failuresOfCause = (pattern: string) => `cause “${pattern}”`;
export const failuresOfFlow = (name: string) => `flow ${name}`;
export const failuresOfImport = (name: string) => `import ${name}`;
export const failuresOfFault = (fault: string) => `fault ${fault}`;
export const failuresRemoveFilter = (name: string) => `Remove the filter ${name}`;
export const failuresCounting =
  "Still counting: numbers of failures from before the last upgrade are added as they are read.";
export const failuresEmpty = "There are no open failures. Records that an import does not take appear here.";
export const failuresEmptyFiltered = "No failure matches these filters.";
export const failuresFresh = (failures: number) => `${counted(failures, "new failure")}: show`;
export const failuresChoose = "Choose";
export const failuresChooseOne = (key: string) => `Choose ${key}`;
export const failuresChoosePage = "Choose all of this page";
export const failuresChosen = (count: number) => `${exact(count)} chosen`;
const allOf = (count: number | undefined) => `all${count === undefined ? "" : ` ${exact(count)}`} of this filter`;
export const failuresChooseAll = (count: number | undefined) => `Choose ${allOf(count)}`;
export const failuresAllChosen = (count: number | undefined) => `You chose ${allOf(count)}`;
export const failuresAllThatMatch = "All that match:";
export const failuresClear = "Clear";
const failuresVerb = (isRetry: boolean) => (isRetry ? "Retry" : "Resolve");
export const failuresTitle = (isRetry: boolean, count: number | undefined) =>
  `${failuresVerb(isRetry)} ${count === undefined ? "all that match" : counted(count, "failure")}?`;
export const failuresConfirm = (isRetry: boolean, count: number) => `${failuresVerb(isRetry)} ${exact(count)}`;
export const failuresCountedSoFar = (count: number) => `Counting: ${counted(count, "failure")} so far.`;
export const failuresOfText = (text: string) => `text “${text}”`;
export const failuresOfKey = (key: string) => `key “${key}”`;
export const failuresOfRun = (_id: string) => `run ${_id}`;
export const failuresNoneLeft = "No failure matches any more.";
export const failuresThrough = "stored up to";
export const failuresFlowsGet = (flows: number) =>
  flows === 1 ? "One flow gets a retry run." : `${exact(flows)} flows get a retry run each.`;
export const failuresDisabledLeft = "Flows that are disabled are left out, and named afterwards.";
export const failuresOfDisabled = (
  { failures, flows }: { readonly failures: number; readonly flows: number | undefined },
  isLeft: boolean,
) =>
  `${counted(failures, "failure")} of ${flows === undefined ? "disabled flows" : counted(flows, "disabled flow")} ${failures === 1 ? "is" : "are"} ${isLeft ? "left out" : "among them"}.`;
export const failuresRejected =
  "“reject”: as they stand they will be rejected again, unless the import or a rule has changed.";
export const failuresResolveWhy = "Resolved failures are not retried any more. There is no undo.";
export const failuresRetried = (runs: number) => `${counted(runs, "retry run")} queued`;
export const failuresRefused = (flows: number) => `${counted(flows, "flow")} left out`;
export const failuresResolved = (count: number) => `${exact(count)} resolved`;

export const failureTitle = "Failure";
export const failureOccurrences = "Times failed";
export const failureFirstFailed = "First failed";
export const failureLastFailed = "Last failed";
export const failureRetriesAt = "Retries by itself";
export const failureResolvedAt = "Resolved";
export const failureResolvedBy = {
  delivery: "by a later state of the record that was delivered",
  person: "by hand",
  removed: "because the flow lost the import",
} as const;
export const failureEditedAt = "Edited";
export const failureVersion = "Version";
export const failureNoRecord = "The record could not be kept: it cannot be edited or retried. The message says why.";
export const failureRetry = "Retry";
export const failureResolveTitle = "Resolve this failure?";
export const failureResolveConfirm = "Resolve 1";
export const failureResolved = "1 resolved";
export const failureRetried = "A retry run was queued:";
export const failureEdit = "Edit and retry";
export const failureEditLabel = "Record as JSON";
export const failureChanges = "Changes to the record as it failed";
export const failureNoChanges = "Nothing is changed yet.";
export const failureSave = "Save";
export const failureSaveAndRetry = "Save and retry";
export const failureDiscard = "Discard";
export const failureConflict =
  "The failure has changed since it was opened. Load it again, and look at it before you edit it.";
export const failureReload = "Load it again";
export const failureOriginal = "As it first failed";
export const failureGone = "This failure is there no more: its record was delivered, or it was removed with its flow.";

export const findLabel = "Key of the record, such as an order number";
export const findIntro =
  "Type the key of a record, such as the number of an order. Deliveries are not kept by record, failures are.";
export const findCount = (failures: number, isPart: boolean) =>
  `${isPart ? "More than " : ""}${counted(failures, "failure")}`;
export const findExact = (count: string, key: string) => `${count} with the key “${key}”`;
export const findPrefix = (count: string, key: string) => `${count} with a key that begins with “${key}”`;
export const findNothing = (key: string) => `No failure has the key “${key}”, or one that begins with it.`;
export const findSearchText = "Search in records and messages";
export const findStop = "Stop";
export const findSearching = "Searching…";
export const findLooked = (examined: number) => `looked at ${counted(examined, "failure")}`;
export const findBackTo = "back to";
export const findNothingIn = "No record or message contains it.";
export const findWhy = "Why else it may not have arrived";
export const findWhyFlow = "Flow that should have moved it";
export const findDisabled = "The flow is disabled: nothing is read and nothing is taken in.";
export const findInInbox = "It waits in the inbox, and is delivered by the next run.";
export const findInboxSome = (pages: number) => `It is not in the first ${counted(pages, "page")} of the inbox.`;
export const findStands = (name: string) => `Checkpoint of ${name}: `;
export const findLastFailed = "The last run failed, so what came after the checkpoint has not been read.";
export const findPaused = (name: string) => `${name} is paused: it gets nothing until it goes on.`;
export const findBehind = (name: string) => `${name} is behind other imports of the flow.`;
export const findNextDue = "The next run reads what is new:";
export const findFiltered = (count: number) =>
  `A filter left out ${counted(count, "record")} in the last runs: it may be among them.`;
export const findDelivered =
  "Otherwise it was delivered, or has never been at the source. Deliveries are not kept by record.";
export const findRunning = "A run is going on: it may not have come to it yet.";
