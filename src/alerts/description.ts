import type { Flow } from "../index.ts";
import { type Alert, type Incident, incidentId } from "./alert.ts";
import { failedRuns } from "./failed-runs.ts";
import type { Finding } from "./findings.ts";
import type { Change } from "./look.ts";
import type { AlertRules, AlertSource } from "./options.ts";
import { errorInWords, minutesInWords, momentInWords, plural, titles } from "./words.ts";

/** What an alert says beside its title. */
interface Detail {
  readonly text: string;
  readonly count?: number;
}

/** Says what has become of incidents. */
export class Description {
  readonly #scheduler: AlertSource;
  readonly #rules: AlertRules;
  readonly #now: number;

  constructor(scheduler: AlertSource, rules: AlertRules, now: number) {
    this.#scheduler = scheduler;
    this.#rules = rules;
    this.#now = now;
  }

  /** The alert of a change, frozen. */
  async alertOf({ finding, incident, state }: Change): Promise<Alert> {
    const { kind, reminders, since, _flowId, _importId, _integrationId } = incident;
    const flow = _flowId === undefined ? undefined : await this.#scheduler.registry.find(_flowId);
    const { count, text } = finding === undefined ? this.#over(incident, flow) : await this.#detail(finding, flow);
    const id = incidentId(incident);
    const name = flow?.name ?? _flowId ?? "";
    return Object.freeze<Alert>({
      _id: `${id}/${state === "reminder" ? `reminder-${reminders}` : state}`,
      ...{ incident: id, kind, state },
      ...(_flowId === undefined ? {} : { _flowId }),
      ...(_importId === undefined ? {} : { _importId }),
      ...(_integrationId === undefined ? {} : { _integrationId }),
      since,
      ...(count === undefined ? {} : { count }),
      title: titles[kind](name, { state, importId: _importId ?? "", count: count ?? 0 }),
      text,
      dashboardPath: dashboardPath(incident),
    });
  }

  #over({ since, _flowId }: Incident, flow: Flow | undefined): Detail {
    const lasted = `It lasted from ${momentInWords(since)} to ${momentInWords(this.#now)}.`;
    if (_flowId !== undefined && flow === undefined) return { text: `${lasted} The flow was deleted.` };
    return { text: flow?.disabled === true ? `${lasted} The flow is disabled now.` : lasted };
  }

  async #detail(finding: Finding, flow: Flow | undefined): Promise<Detail> {
    switch (finding.kind) {
      case "failing":
        return this.#failing(finding);
      case "overdue":
        return { text: overdueText(finding, flow) };
      case "paused":
        return { text: await this.#pausedText(finding) };
      case "openFailures":
        return this.#counted(finding, (count) => {
          const limit = `more than ${this.#rules.openFailures ?? 0} are alerted of`;
          return `${plural(count, "record was", "records were")} not delivered, and can be retried or resolved; ${limit}.`;
        });
      case "queueAge":
        return this.#counted(finding, (count) => {
          const limit = `more than ${minutesInWords(this.#rules.queueAgeMs ?? 0)} is alerted of`;
          const oldest = `the oldest since ${momentInWords(finding.at ?? this.#now)}`;
          return `${plural(count, "run waits", "runs wait")}, ${oldest}; ${limit}.`;
        });
      case "more":
        return this.#counted(
          finding,
          (count) => `Up to ${count} more are not alerted of one by one: see the dashboard.`,
        );
    }
  }

  #counted({ count = 0 }: Finding, text: (count: number) => string): Detail {
    return { text: text(count), count };
  }

  async #failing({ since = "", _flowId = "" }: Finding): Promise<Detail> {
    const { count, isExact, last } = await failedRuns(this.#scheduler, { _flowId, since });
    const runs = `${isExact ? "" : "at least "}${plural(count, "run has", "runs in a row have")} failed`;
    const text = `Since ${momentInWords(since)}, ${runs}.`;
    const error = last?.error === undefined ? "" : ` The last one: ${errorInWords(last.error)}`;
    return { text: text + error, ...(isExact ? { count } : {}) };
  }

  async #pausedText({ at, since = "", _flowId = "", _importId = "" }: Finding): Promise<string> {
    const deliveries = await this.#scheduler.deliveries(_flowId);
    const pause = deliveries.find((delivery) => delivery._importId === _importId)?.paused;
    const reason = pause === undefined ? "." : `: ${errorInWords(pause.reason)}`;
    const end =
      at === undefined ? "It stays paused until somebody resumes it." : `It is tried again at ${momentInWords(at)}.`;
    return `It has got no records since ${momentInWords(since)}${reason} ${end}`;
  }
}

function overdueText({ at = "" }: Finding, flow: Flow | undefined): string {
  const last =
    flow?.lastExecutedAt === undefined
      ? "None of its runs ever began."
      : `The last one began at ${momentInWords(flow.lastExecutedAt)}.`;
  return `No run has begun for two due times, the second at ${momentInWords(at)}. ${last}`;
}

function dashboardPath({ kind, _flowId }: Incident): string {
  if (_flowId === undefined) return kind === "queueAge" ? "/runs?status=queued" : "/";
  const id = encodeURIComponent(_flowId);
  return kind === "openFailures" ? `/failures?flow=${id}` : `/flows/${id}`;
}
