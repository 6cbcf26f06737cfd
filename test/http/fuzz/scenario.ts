import { expect } from "vitest";
import type { Failure, Flow, Result, Run } from "../../../src/index.ts";
import { collectingImport, scriptedImport } from "../../../src/testing/index.ts";
import { pagesExport } from "../../support/harness.ts";
import { ApiHarness, type ApiResponse, type RequestInput } from "../harness.ts";
import { Model, type ModelFlow, isRefused, text } from "./model.ts";
import type { Step } from "./steps.ts";
import { bodyOf, patchOf, wrongOf } from "./values.ts";

/** How often each route received each status, over all scenarios. */
export class Tally {
  requests = 0;
  readonly statuses = new Map<number, number>();
  readonly routes = new Map<string, Set<number>>();

  add(route: string, status: number): void {
    this.requests++;
    this.statuses.set(status, (this.statuses.get(status) ?? 0) + 1);
    this.routes.set(route, (this.routes.get(route) ?? new Set()).add(status));
  }
}

const refused: Result = { ok: false, fault: "reject", error: new Error("refused") };

/** Sends steps to an API and to a model of it side by side. */
export class Scenario {
  readonly #api: ApiHarness;
  readonly #model: Model;
  readonly #tally: Tally;

  constructor(running: boolean, tally: Tally) {
    this.#tally = tally;
    this.#model = new Model(running);
    const picky = scriptedImport<unknown>(({ records }) =>
      records.map((one) => (isRefused(one) ? refused : { ok: true })),
    );
    const { maxQueued, maxInboxPages, numbers } = this.#model;
    this.#api = new ApiHarness({
      exports: { numbers: pagesExport<unknown>([numbers]), hook: { listen: () => () => undefined } },
      imports: { ledger: collectingImport(), picky },
      options: { maxQueued, maxInboxPages, maxFailures: 1_000_000 },
      http: { maxBodyBytes: 100_000, maxRecordsBytes: 100_000 },
    });
  }

  /** Throws at the first difference. */
  async run(steps: readonly Step[]): Promise<void> {
    if (this.#model.running) await this.#api.host.scheduler.start();
    for (const step of steps) {
      await this.#do(step);
      if (this.#model.running) await this.#api.host.clock.settle();
    }
    await this.#compare();
    await this.#api.host.scheduler.stop();
  }

  async #ask(route: string, path: string, sent: RequestInput = {}): Promise<ApiResponse> {
    const method = route.slice(0, route.indexOf(" "));
    const received = await this.#api.send(method, path, sent);
    this.#tally.add(route, received.status);
    return received;
  }

  #flow(place: number): ModelFlow | undefined {
    const { flows } = this.#model;
    return flows.length === 0 ? undefined : flows[place % (flows.length + 1)];
  }

  async #do(step: Step): Promise<void> {
    switch (step.kind) {
      case "create": {
        const received = await this.#ask("POST /flows", "/flows", { body: bodyOf(step.fields) });
        if (!this.#refusesFields(received, wrongOf(step.fields), 201)) this.#created(received, meaningOf(step.fields));
        return;
      }
      case "put":
        return this.#change("PUT /flows/{_id}", step, bodyOf(step.fields), () => meaningOf(step.fields), 200);
      case "merge":
        return this.#change(
          "PATCH /flows/{_id}",
          step,
          bodyOf(step.fields),
          (now) => ({ ...now, ...meaningOf(step.fields) }),
          200,
        );
      case "patch": {
        // What cannot be written is ignored in a document, but not in a list of changes.
        const fields = step.fields.filter(
          ({ given }) => !["_id", "pageGenerators", "pageProcessors"].some((field) => field in given),
        );
        return this.#change(
          "PATCH /flows/{_id}",
          { ...step, fields },
          patchOf(fields),
          (now) => ({ ...now, ...meaningOf(fields) }),
          204,
        );
      }
      case "delete":
        return this.#delete(step);
      case "clone":
        return this.#clone(step);
      case "get":
        return this.#get(step);
      case "list":
        return this.#list(step);
      case "run":
        return this.#run(step);
      case "cancel":
        return this.#cancel(step);
      case "accept":
        return this.#accept(step);
      case "retry":
        return this.#retry(step);
      case "resolve":
        return this.#resolve(step);
      case "look":
        return this.#look(step);
      case "nonsense": {
        const { route, path, sent, status } = step;
        const flow = this.#flow(0);
        const at = path.replace("{_id}", flow === undefined || !route.includes("/flows/") ? "none" : flow._id);
        const received = await this.#ask(route, at, sent);
        expect(status, `${route} ${path} → ${received.text}`).toContain(received.status);
        return;
      }
    }
  }

  #created(received: ApiResponse, fields: Readonly<Record<string, unknown>>): void {
    const { _id } = received.json as Flow;
    expect(received.location).toBe(`/flows/${_id}`);
    expect(fieldsOf(received.json as Flow)).toBe(text(fields));
    expect(this.#model.flows.map((flow) => flow._id)).not.toContain(_id);
    const tag = received.headers.get("etag") ?? "";
    this.#model.flows.push({ _id, fields, tags: [tag], seen: new Set(), inbox: [] });
  }

  /** Whether the fields were refused, and then all that are wrong and no others. */
  #refusesFields(received: ApiResponse, wrong: readonly string[], success: number): boolean {
    expect(received.status, received.text).toBe(wrong.length > 0 ? 422 : success);
    if (wrong.length === 0) return false;
    const { errors } = received.json as { errors: { field: string }[] };
    const named = [...new Set(errors.map(({ field }) => groupOf(field)))].sort();
    expect(named, received.text).toEqual([...new Set(wrong.map(groupOf))].sort());
    return true;
  }

  #preconditionHolds(
    flow: ModelFlow,
    tag: "none" | "now" | "old" | "any",
  ): { readonly headers: Record<string, string>; readonly holds: boolean } {
    const now = flow.tags.at(-1) ?? "";
    if (tag === "none") return { headers: {}, holds: true };
    if (tag === "any") return { headers: { "if-match": "*" }, holds: true };
    const given = tag === "now" ? now : (flow.tags[0] ?? "");
    return { headers: { "if-match": given }, holds: given === now };
  }

  async #change(
    route: string,
    { place, tag, fields: given }: Extract<Step, { kind: "put" | "merge" | "patch" }>,
    body: string,
    meaning: (now: Readonly<Record<string, unknown>>) => Readonly<Record<string, unknown>>,
    success: number,
  ): Promise<void> {
    const flow = this.#flow(place);
    if (flow === undefined) {
      const { status } = await this.#ask(route, "/flows/none", { body });
      // What a list of changes names is looked at first.
      expect(status).toBe(success === 204 && wrongOf(given).some(isUnknown) ? 422 : 404);
      return;
    }
    const { headers, holds } = this.#preconditionHolds(flow, tag);
    const received = await this.#ask(route, `/flows/${flow._id}`, { body, headers });
    const wrong = wrongOf(given);
    // A list of changes is read before the flow is looked at: it says itself which fields there are.
    if (!holds && !(success === 204 && wrong.some(isUnknown))) {
      expect(received.status).toBe(412);
      return;
    }
    if (success === 204 && wrong.some(isUnknown)) {
      expect(received.status).toBe(422);
      return;
    }
    // Pages of the former export would have nobody to read them.
    const movesExport = meaning(flow.fields)._exportId !== flow.fields._exportId;
    if (wrong.length === 0 && movesExport && flow.inbox.length > 0) {
      expect(received.status, received.text).toBe(409);
      return;
    }
    if (this.#refusesFields(received, wrong, success)) return;
    const changed = this.#model.change(flow, meaning(flow.fields));
    const etag = received.headers.get("etag") ?? "";
    // Runs move the times of a flow, which are the rest of its tag.
    expect(versionOf(etag) === versionOf(flow.tags.at(-1) ?? ""), received.text).toBe(!changed);
    if (changed) flow.tags.push(etag);
    if (success === 200) expect(fieldsOf(received.json as Flow)).toBe(text(flow.fields));
  }

  async #delete({ place, tag }: Extract<Step, { kind: "delete" }>): Promise<void> {
    const flow = this.#flow(place);
    const route = "DELETE /flows/{_id}";
    if (flow === undefined) {
      expect((await this.#ask(route, "/flows/none")).status).toBe(404);
      return;
    }
    const { headers, holds } = this.#preconditionHolds(flow, tag);
    expect((await this.#ask(route, `/flows/${flow._id}`, { headers })).status).toBe(holds ? 204 : 412);
    if (holds) this.#model.delete(flow);
  }

  async #clone({ place, body }: Extract<Step, { kind: "clone" }>): Promise<void> {
    const flow = this.#flow(place);
    const sent = body === undefined ? {} : { body };
    const received = await this.#ask("POST /flows/{_id}/clone", `/flows/${flow?._id ?? "none"}/clone`, sent);
    if (flow === undefined) {
      expect(received.status).toBe(404);
      return;
    }
    expect(received.status, received.text).toBe(201);
    const name = `Copy of ${String(flow.fields.name)}`.slice(0, 255).trim();
    this.#created(received, { ...flow.fields, name, disabled: true, ...body });
  }

  async #get({ place, known }: Extract<Step, { kind: "get" }>): Promise<void> {
    const flow = this.#flow(place);
    const etag = flow?.tags.at(-1) ?? "";
    const headers: Record<string, string> = known ? { "if-none-match": etag } : {};
    const received = await this.#ask("GET /flows/{_id}", `/flows/${flow?._id ?? "none"}`, { headers });
    if (flow === undefined) {
      expect(received.status).toBe(404);
      return;
    }
    // A run moves the times of a flow, which the tag heeds.
    const now = received.headers.get("etag") ?? "";
    expect(versionOf(now)).toBe(versionOf(etag));
    expect(received.status).toBe(known && now === etag ? 304 : 200);
    if (received.status === 200) expect(fieldsOf(received.json as Flow)).toBe(text(flow.fields));
  }

  async #list({ filter, limit, integration }: Extract<Step, { kind: "list" }>): Promise<void> {
    const { _importId, ...same } = filter;
    const holds = ({ fields }: ModelFlow) =>
      (_importId === undefined || (fields._importIds as string[]).includes(_importId)) &&
      Object.entries(same).every(([name, value]) => fields[name] === value) &&
      (integration === undefined || fields._integrationId === integration);
    const query = new URLSearchParams({ ...(filter as Record<string, string>), limit: String(limit) });
    const [route, path] =
      integration === undefined
        ? ["GET /flows", "/flows"]
        : ["GET /integrations/{_id}/flows", `/integrations/${encodeURIComponent(integration)}/flows`];
    const listed = await this.#walk<Flow>(route, `${path}?${query.toString()}`, limit);
    expect(listed.map((flow) => [flow._id, fieldsOf(flow)])).toEqual(
      this.#model.flows.filter(holds).map(({ _id, fields }) => [_id, text(fields)]),
    );
  }

  /** All pages of a list, none longer than its limit and none but the last shorter. */
  async #walk<T>(route: string, first: string, limit: number): Promise<T[]> {
    const items: T[] = [];
    for (let path: string | undefined = first; path !== undefined;) {
      const { json, next, status }: ApiResponse = await this.#ask(route, path);
      const page = json as T[];
      expect([status, next === undefined ? page.length <= limit : page.length === limit]).toEqual([200, true]);
      items.push(...page);
      path = next;
    }
    return items;
  }

  async #run({ place, limit }: Extract<Step, { kind: "run" }>): Promise<void> {
    const flow = this.#flow(place);
    const sent = limit === undefined ? {} : { body: { limit } };
    const received = await this.#ask("POST /flows/{_id}/run", `/flows/${flow?._id ?? "none"}/run`, sent);
    this.#queued(flow, received, limit === undefined ? { trigger: "manual" } : { trigger: "manual", limit });
  }

  #queued(
    flow: ModelFlow | undefined,
    received: ApiResponse,
    run: { trigger: "manual" | "retry"; limit?: number },
  ): void {
    const expected =
      flow === undefined
        ? 404
        : flow.fields.disabled === true
          ? 409
          : this.#model.waiting(flow).length >= this.#model.maxQueued
            ? 429
            : 201;
    expect(received.status, received.text).toBe(expected);
    if (flow === undefined || expected !== 201) return;
    const { _id, ...made } = received.json as Run;
    expect(made).toMatchObject({ ...run, status: "queued", _flowId: flow._id });
    expect(received.location).toBe(`/runs/${_id}`);
    this.#model.queue({ _id, flow, ...run });
  }

  async #cancel({ place }: Extract<Step, { kind: "cancel" }>): Promise<void> {
    const { runs } = this.#model;
    const run = runs.length === 0 ? undefined : runs[place % (runs.length + 1)];
    const received = await this.#ask("PUT /runs/{_id}/cancel", `/runs/${run?._id ?? "none"}/cancel`);
    expect(received.status).toBe(run === undefined ? 404 : 200);
    if (run === undefined) return;
    if (run.status === "queued") run.status = "canceled";
    expect(received.json).toMatchObject({ _id: run._id, status: run.status });
  }

  async #accept({ _exportId, records, ids, key, envelope }: Extract<Step, { kind: "accept" }>): Promise<void> {
    const body = envelope
      ? { records, ...(ids === undefined ? {} : { ids: records.map((_, index) => `${ids}-${index}`) }) }
      : records;
    const headers: Record<string, string> =
      key === undefined || (envelope && ids !== undefined) ? {} : { "idempotency-key": key };
    const received = await this.#ask("POST /exports/{_id}/records", `/exports/${_exportId}/records`, {
      body: JSON.stringify(body),
      headers,
    });
    const eventIds =
      envelope && ids !== undefined
        ? records.map((_, index) => `${ids}-${index}`)
        : key === undefined
          ? undefined
          : records.map((_, index) => (records.length === 1 ? key : `${key}.${index}`));
    if (_exportId === "none") {
      expect(received.status).toBe(404);
      return;
    }
    const outcome = this.#model.accept(_exportId, records, eventIds);
    expect(received.status, received.text).toBe(outcome === "none" ? 409 : outcome === "full" ? 429 : 202);
    if (outcome === "none" || outcome === "full") return;
    const { queued, ...accepted } = outcome;
    expect(received.json).toEqual(accepted);
    // The ids of runs that arrivals queue are nowhere but in the list of runs.
    const known = new Set(this.#model.runs.map(({ _id }) => _id));
    const listed = await this.#walk<Run>("GET /runs", "/runs?trigger=realtime&limit=1000", 1_000);
    const added = listed.filter(({ _id }) => !known.has(_id)).reverse();
    expect(added.map(({ _flowId }) => _flowId)).toEqual(queued.map(({ _id }) => _id));
    for (const [index, { _id }] of added.entries()) {
      const flow = queued[index];
      if (flow !== undefined) this.#model.queue({ _id, flow, trigger: "realtime" });
    }
  }

  async #retry({ place, _importId }: Extract<Step, { kind: "retry" }>): Promise<void> {
    const flow = this.#flow(place);
    const sent = _importId === undefined ? {} : { body: { _importId } };
    const received = await this.#ask(
      "POST /flows/{_id}/failures/retry",
      `/flows/${flow?._id ?? "none"}/failures/retry`,
      sent,
    );
    const known =
      _importId === undefined || flow === undefined || (flow.fields._importIds as string[]).includes(_importId);
    if (!known) {
      expect(received.status).toBe(404);
      return;
    }
    this.#queued(flow, received, { trigger: "retry" });
  }

  async #resolve({ place, count }: Extract<Step, { kind: "resolve" }>): Promise<void> {
    const flow = this.#flow(place);
    const route = "PUT /flows/{_id}/failures/resolved";
    if (flow === undefined) {
      expect((await this.#ask(route, "/flows/none/failures/resolved", { body: { _ids: ["x"] } })).status).toBe(404);
      return;
    }
    const listed = await this.#walk<Failure>("GET /flows/{_id}/failures", `/flows/${flow._id}/failures?limit=2`, 2);
    const failures = this.#model.failuresOf(flow);
    expect(listed.map(({ status }) => status)).toEqual(failures.map(({ status }) => status));
    const _ids = count === 0 ? ["none"] : listed.slice(0, count).map(({ _id }) => _id);
    const received = await this.#ask(route, `/flows/${flow._id}/failures/resolved`, { body: { _ids } });
    if (count === 0) {
      expect(received.status).toBe(404);
      return;
    }
    if (_ids.length === 0) {
      expect(received.status).toBe(400);
      return;
    }
    const open = failures.slice(0, count).flatMap((failure, index) => (failure.status === "open" ? [_ids[index]] : []));
    expect([received.status, received.json]).toEqual([200, { _ids: open }]);
    for (const failure of failures.slice(0, count)) failure.status = "resolved";
  }

  async #lookAtCauses(path: string, flow: ModelFlow | undefined): Promise<void> {
    const _flowId = path.slice("/flows/".length);
    const received = await this.#ask("GET /causes", `/causes?_flowId=${_flowId}`);
    const open = (received.json as { open: number }[]).reduce((sum, cause) => sum + cause.open, 0);
    const failures = flow === undefined ? [] : this.#model.failuresOf(flow);
    expect(open).toBe(failures.filter(({ status }) => status === "open").length);
  }

  async #lookAtTotals(what: "overview" | "statistics" | "activity"): Promise<void> {
    const all = this.#model.flows;
    if (what === "overview") {
      const { json } = await this.#ask("GET /overview", "/overview");
      const waiting = all.reduce((sum, flow) => sum + this.#model.waiting(flow).length, 0);
      expect(json).toMatchObject({ runs: { running: 0, queued: waiting }, paused: 0, overdue: 0 });
    } else if (what === "statistics") {
      const query = "from=2030-01-01T00:00:00Z&until=2030-01-02T00:00:00Z";
      expect((await this.#ask("GET /statistics", `/statistics?${query}`)).status).toBe(200);
    } else {
      const { json } = await this.#ask("GET /flows", "/flows?state=failures&include=_id,activity&limit=1000");
      for (const { activity } of json as { activity: { openFailures: number } }[])
        expect(activity.openFailures).toBeGreaterThan(0);
    }
  }

  async #look({ place, what }: Extract<Step, { kind: "look" }>): Promise<void> {
    const flow = this.#flow(place);
    const runs = this.#model.runs.filter((run) => run.flow === flow);
    const path = `/flows/${flow?._id ?? "none"}`;
    if (what === "latest") {
      const received = await this.#ask("GET /flows/{_id}/jobs/latest", `${path}/jobs/latest`);
      const latest = flow === undefined ? undefined : runs.at(-1);
      if (latest === undefined) {
        expect(received.status).toBe(404);
        return;
      }
      expect(received.json).toMatchObject({ _id: latest._id, status: latest.status });
      return;
    }
    if (what === "dependencies") {
      const received = await this.#ask("GET /flows/{_id}/dependencies", `${path}/dependencies`);
      if (flow === undefined) {
        expect(received.status).toBe(404);
        return;
      }
      const { usedBy, uses } = received.json as {
        usedBy: { runs: string[]; failures: string[] };
        uses: { imports: { _id: string }[] };
      };
      expect(uses.imports.map(({ _id }) => _id)).toEqual(flow.fields._importIds);
      expect(usedBy.runs.toSorted()).toEqual(
        this.#model
          .waiting(flow)
          .map(({ _id }) => _id)
          .sort(),
      );
      expect(usedBy.failures).toHaveLength(
        this.#model.failuresOf(flow).filter(({ status }) => status === "open").length,
      );
      return;
    }
    if (what === "causes") return this.#lookAtCauses(path, flow);
    if (what === "overview" || what === "statistics" || what === "activity") return this.#lookAtTotals(what);
    if (what === "permissions") {
      const { actions } = (await this.#ask("GET /permissions", "/permissions")).json as { actions: object };
      expect(new Set(Object.values(actions))).toEqual(new Set([true]));
      return;
    }
    if (what === "preview") {
      const body = JSON.stringify({ schedule: "0 7 * * 1", count: 2 });
      const received = await this.#ask("POST /schedules/preview", "/schedules/preview", { body });
      expect((received.json as { dueAt: string[] }).dueAt).toHaveLength(2);
      return;
    }
    if (what === "run") {
      const run = this.#model.runs[place % Math.max(1, this.#model.runs.length)];
      const received = await this.#ask("GET /runs/{_id}", `/runs/${run?._id ?? "none"}`);
      if (run === undefined) {
        expect(received.status).toBe(404);
        return;
      }
      expect(received.json).toMatchObject({ _id: run._id, status: run.status, trigger: run.trigger });
      return;
    }
    if (what === "export" || what === "import") {
      const known = what === "export" ? ["numbers", "hook"] : ["ledger", "picky"];
      const _id = known[place % (known.length + 1)];
      const received = await this.#ask(`GET /${what}s/{_id}`, `/${what}s/${_id ?? "none"}`);
      expect([received.status, (received.json as { _id?: string })._id]).toEqual([_id === undefined ? 404 : 200, _id]);
      return;
    }
    const simple = { exports: 2, imports: 2, health: undefined, "openapi.json": undefined }[what];
    const received = await this.#ask(`GET /${what}`, `/${what}`);
    expect([received.status, Array.isArray(received.json) ? received.json.length : undefined]).toEqual([200, simple]);
  }

  /** Everything there is, page by page. */
  async #compare(): Promise<void> {
    await this.#list({ kind: "list", filter: {}, limit: 7, integration: undefined });
    for (const filter of ["", "status=queued&", "status=completed&", "trigger=realtime&", "_integrationId=acme&"]) {
      const [name = "", value = ""] = filter.slice(0, -1).split("=");
      const listed = await this.#walk<Run>("GET /runs", `/runs?${filter}limit=13`, 13);
      const expected = this.#model.runs.filter(
        (run) => filter === "" || (run as unknown as Record<string, unknown>)[name] === value,
      );
      expect(listed.map(({ _id, status, _flowId }) => [_id, status, _flowId]).reverse()).toEqual(
        expected.map(({ _id, status, flow }) => [_id, status, flow._id]),
      );
    }
    for (const flow of this.#model.flows) {
      const listed = await this.#walk<Failure>(
        "GET /flows/{_id}/failures",
        `/flows/${flow._id}/failures?limit=9&exclude=record`,
        9,
      );
      expect(listed.map(({ status }) => status)).toEqual(this.#model.failuresOf(flow).map(({ status }) => status));
    }
  }
}

/** The fields that can be written, as the model has them. */
function fieldsOf(flow: Flow): string {
  const { _id, createdAt, lastModified, lastExecutedAt, nextRunAt, _importId, _importIds, ...fields } = flow;
  expect([typeof createdAt, typeof lastModified]).toEqual(["string", "string"]);
  return text({ ...fields, _importIds: _importIds ?? [_importId] });
}

function meaningOf(
  fields: readonly { readonly means: Readonly<Record<string, unknown>> }[],
): Readonly<Record<string, unknown>> {
  return Object.assign({}, ...fields.map(({ means }) => means)) as Readonly<Record<string, unknown>>;
}

/** One import, or several, or places among them: one thing that is wrong. */
function groupOf(field: string): string {
  return field.startsWith("_importId") ? "imports" : field;
}

function versionOf(etag: string): string {
  return etag.split("_", 1)[0] ?? "";
}

function isUnknown(field: string): boolean {
  return ["nope", "__proto__", "constructor"].includes(field);
}
