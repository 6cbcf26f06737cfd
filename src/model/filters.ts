import { failureStatuses, faults } from "./failure.ts";
import { flowStates } from "./flow/activity.ts";
import { runStatuses, triggers } from "./run.ts";
import { boolean, duration, oneOf, pageLimit, string, strings, v } from "./validate.ts";

const by = (description: string) => v.optional(v.pipe(string, v.description(description)));

const paging = {
  limit: v.optional(pageLimit),
  after: v.optional(string),
};

const partWords = "a string of 1 to 200 characters";
/** Something to look for. */
export const partOfText = v.pipe(v.string(partWords), v.minLength(1, partWords), v.maxLength(200, partWords));

/** The filters of the list of flows; also those of its HTTP query. */
export const flowFilters = {
  _integrationId: by("Flows of this integration."),
  _connectorId: by("Flows of this connector."),
  _exportId: by("Flows that use this export."),
  _importId: by("Flows that use this import."),
  group: by("Flows that this group of `defineAll` names."),
  disabled: v.optional(v.pipe(boolean, v.description("Only disabled flows, or only enabled ones."))),
  q: v.optional(v.pipe(partOfText, v.description("Flows with this in their name, in any case."))),
  state: v.optional(v.pipe(oneOf(...flowStates), v.description("Flows that are so at present."))),
  ...paging,
};

/** The filters of the list of runs. */
export const runFilters = {
  _flowId: by("Runs of this flow."),
  _exportId: by("Runs that read from this export."),
  _importId: by("Runs that write to this import."),
  _integrationId: by("Runs of flows of this integration."),
  _connectorId: by("Runs of flows of this connector."),
  status: v.optional(v.pipe(oneOf(...runStatuses), v.description("Runs in this state."))),
  trigger: v.optional(v.pipe(oneOf(...triggers), v.description("Runs that exist for this reason."))),
  ...paging,
};

/** The filters of the list of failures. */
export const failureFilters = {
  _ids: v.optional(strings),
  _flowId: by("Failures of this flow."),
  _exportId: by("Failures of records of this export."),
  _importId: by("Failures at this import."),
  _runId: by("Failures of this run."),
  _integrationId: by("Failures of flows of this integration."),
  _connectorId: by("Failures of flows of this connector."),
  status: v.optional(
    v.pipe(oneOf(...failureStatuses), v.description("Failures in this state. Without it open and resolved ones.")),
  ),
  fault: v.optional(v.pipe(oneOf(...faults), v.description("Failures of this kind."))),
  key: by("Failures of the record with this key."),
  keyPrefix: v.optional(v.pipe(partOfText, v.description("Failures of records whose key begins so."))),
  cause: by("Failures with this cause."),
  text: v.optional(
    v.pipe(partOfText, v.description("Failures with this in their message or record, in any case of ASCII letters.")),
  ),
  through: by("Failures up to this one in the order in which they were stored."),
  newestFirst: v.optional(v.pipe(boolean, v.description("The newest first; the oldest first if it is left out."))),
  retryUntil: v.optional(v.pipe(duration, v.description("Failures that are sent again by themselves until then."))),
  ...paging,
};

/** What open failures that are retried or resolved together have in common. */
export const openFailureFilters = {
  _flowId: by("Failures of this flow."),
  _exportId: by("Failures of records of this export."),
  _importId: by("Failures at this import."),
  _runId: by("Failures of this run."),
  _integrationId: by("Failures of flows of this integration."),
  _connectorId: by("Failures of flows of this connector."),
  fault: v.optional(v.pipe(oneOf(...faults), v.description("Failures of this kind."))),
  cause: by("Failures with this cause."),
  key: by("Failures of records with this key."),
  keyPrefix: failureFilters.keyPrefix,
  text: failureFilters.text,
  through: v.pipe(string, v.description("The newest `_id` that was seen: later failures are left alone.")),
  after: v.optional(string),
};

const isoPattern = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)$/;
const instantWords = "a time such as 2030-01-01T12:00:00Z";
/** An instant as documents carry it. */
export const instant = v.pipe(
  v.string(instantWords),
  v.check((text) => isoPattern.test(text) && Number.isFinite(Date.parse(text)), instantWords),
);

/** The filters of statistics. */
export const statisticsFilters = {
  from: v.pipe(instant, v.description("Since when; the beginning of its hour counts.")),
  until: v.pipe(instant, v.description("Until when; its hour counts as a whole.")),
  step: v.optional(
    v.pipe(oneOf("hour", "day"), v.description("`hour` if it is left out; `day`: 24 hours each, counted from `from`.")),
  ),
  _integrationId: by("Runs of flows of this integration."),
  _flowId: by("Runs of this flow, as far as they are remembered: each counts when it ended."),
};

/** The filters of the overview. */
export const overviewFilters = { _integrationId: by("Flows, runs and failures of this integration.") };

/** The filters of the list of causes. */
export const causeFilters = {
  _flowId: by("Failures of this flow."),
  _importId: by("Failures at this import."),
  _integrationId: by("Failures of flows of this integration."),
  disabled: v.optional(
    v.pipe(boolean, v.description("Failures of flows that are disabled, or of those that are enabled.")),
  ),
  limit: v.optional(pageLimit),
};

/** The filters of the list of an inbox's pages. */
export const inboxFilters = { ...paging };
