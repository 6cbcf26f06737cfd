// Bugs for `prove.mjs` to put into copies of the source, one at a time, as in ../simulation/bugs.mjs: an edit is a text
// that stands exactly once in the file, and what stands there instead.

const scoped = "src/http/scoped.ts";
const flows = "src/http/routes/flows.ts";
const failures = "src/http/routes/failures.ts";
const ends = "src/http/routes/catalog.ts";
const feed = "src/http/events/event-feed.ts";
const ring = "src/http/events/event-ring.ts";
const handler = "src/http/handler.ts";
const authorization = "src/http/authorization.ts";
const etag = "src/http/etag.ts";
const list = "src/http/list.ts";
const query = "src/http/query.ts";
const body = "src/http/body.ts";
const listener = "src/http/node-listener.ts";
const reply = "src/http/reply.ts";
const documents = "src/http/documents.ts";

const fuzz = "test/http/fuzz.test.ts";
const tenants = "test/http/tenants.test.ts";
const permits = "test/http/authorization.test.ts";
const bodies = "test/http/bodies.test.ts";
const intake = "test/http/intake.test.ts";
const events = "test/http/event-feed.test.ts";
const mounts = "test/http/mounts.test.ts";
const nodeListener = "test/http/node-listener.test.ts";
const openapi = "test/http/openapi.test.ts";
const tags = "test/http/flow-tags.test.ts";
const flowCases = "test/http/flows.test.ts";
const lists = "test/http/flow-lists.test.ts";
const limits = "test/http/event-feed-limits.test.ts";

const bug = (name, file, path, from, to) => ({ name, file, edits: [[path, from, to]] });

/** What the tests need beside the source. */
export const parts = ["test/http"];

/** `file`: the tests that have to see it. */
export const bugs = [
  bug("a tenant finds any flow", tenants, scoped, "flow === undefined || !sees(scope, flow)", "flow === undefined"),
  bug("a tenant finds any run", tenants, scoped, '  if (!sees(scope, run)) throw new NotFoundError("run", _id);\n', ""),
  bug("a tenant's new flow belongs to nobody", tenants, scoped, "given && _integrationId == null", "false"),
  bug("a tenant moves a flow to another", tenants, scoped, "_integrationId.trim() !== scope._integrationId", "false"),
  bug(
    "a tenant uses any import",
    tenants,
    scoped,
    "_id: fields._importId, allowed: _importIds",
    "_id: fields._importId, allowed: undefined",
  ),
  bug(
    "a tenant writes a flow that has left it",
    tenants,
    flows,
    "expected !== null || call.scope !== undefined",
    "expected !== null",
  ),
  bug(
    "a tenant's failures are those of the flow",
    tenants,
    failures,
    "_flowId: flow._id, ...ownOnly(call) }",
    "_flowId: flow._id }",
  ),
  bug(
    "a tenant resolves what is another's",
    tenants,
    failures,
    "limit: portion, ...ownOnly(call) }",
    "limit: portion }",
  ),
  bug("a tenant retries what is another's", tenants, failures, "| undefined), ...ownOnly(call) }", "| undefined) }"),
  bug(
    "a tenant's records reach everybody",
    tenants,
    ends,
    "...(scope === undefined ? {} : { _integrationId: scope._integrationId }),",
    "",
  ),
  bug(
    "a tenant is told every event",
    tenants,
    ring,
    "_integrationId === undefined || told._integrationId === _integrationId",
    '_integrationId !== ""',
  ),
  bug(
    "a flow that leaves is not told as gone",
    events,
    feed,
    "const leaves = previous._integrationId !== flow._integrationId",
    "const leaves = false",
  ),
  bug(
    "authorize is not asked",
    permits,
    handler,
    "return { scope: await permitted(() => door.authorize(ask)) };",
    "return { scope: undefined };",
  ),
  bug(
    "a hook that answers nothing lets in",
    permits,
    authorization,
    "if (permission === true) return undefined;",
    "if (permission === true || permission === undefined) return undefined;",
  ),
  bug(
    "a hook's own error is told",
    permits,
    handler,
    "    if (refuses(error)) throw error;\n    throw new Error(`authorize failed: ${messageOf(error)}`, { cause: error });",
    "    throw error;",
  ),
  bug(
    "the last token alone is good",
    permits,
    authorization,
    "digests.filter((known)",
    "digests.slice(-1).filter((known)",
  ),
  bug(
    "half a signature is enough",
    intake,
    "src/http/signature.ts",
    "one.length === other.length && timingSafeEqual(one, other)",
    "other.length > 0 && timingSafeEqual(one.subarray(0, other.length), other.subarray(0, one.length))",
  ),
  bug(
    "a stale write goes through",
    fuzz,
    flows,
    "if (expected !== null && !isCurrent(expected, flow)) throw preconditionFailed();",
    "",
  ),
  bug(
    "a run makes a write stale",
    tags,
    etag,
    'tag.startsWith(`"${lastModified}_`)',
    'tag.length > 0 && tag.endsWith("__\\"") && tag.startsWith(`"${lastModified}_`)',
  ),
  bug("304 for whatever was known", fuzz, etag, "tagsIn(header).includes(etagOf(flow))", "tagsIn(header).length > 0"),
  bug("a list never goes on", lists, list, "next === undefined ? undefined : {", 'next !== "" ? undefined : {'),
  bug(
    "a list goes on with other filters",
    lists,
    list,
    'searchParams.set("after", next);',
    'for (const name of [...searchParams.keys()]) if (name.startsWith("_")) searchParams.delete(name);\n  searchParams.set("after", next);',
  ),
  bug("unknown parameters pass", fuzz, query, "if (!known.includes(name)) problems", 'if (name === "") problems'),
  bug("a clone runs by itself", fuzz, flows, "_integrationId, disabled = true }", "_integrationId, disabled = false }"),
  bug(
    "a patch replaces",
    fuzz,
    flows,
    "registry.patch(call._id, input as Partial<FlowInput>, expected)",
    "registry.update(call._id, { ...now, ...(input as FlowInput), timezone: null }, expected)",
  ),
  bug(
    "204 for a merge patch",
    fuzz,
    flows,
    "return replacing ? empty(204, headers)",
    'return replacing || headers.etag !== "" ? empty(204, headers)',
  ),
  bug("one key for several records", fuzz, ends, "`${key}.${index}`", "`${key}`"),
  bug(
    "an empty body is nothing wrong",
    fuzz,
    body,
    "if (bytes.length === 0 && !rule.required)",
    "if (bytes.length === 0)",
  ),
  bug("any type is JSON", fuzz, body, "known.includes(type.trim()) &&", 'type !== "" &&'),
  bug("bytes that are no UTF-8 are mended", bodies, body, "fatal: true", "fatal: false"),
  bug("a long body is read to its end", intake, body, "    if (length > limit) {", "    if (length > 1e7) {"),
  bug(
    "a body may be as long as it says",
    intake,
    body,
    "if (stated !== null && Number(stated) > limit) throw tooLarge(limit);",
    "if (stated !== null) return new Uint8Array(await request.arrayBuffer());",
  ),
  bug(
    "an error is told to whoever asks",
    bodies,
    "src/http/http-error.ts",
    "`Unexpected error ${errorId}`",
    "`Unexpected error ${errorId} ${new Error().stack}`",
  ),
  bug("the query is logged", bodies, handler, 'url.replace(/[?#].*$/s, "")', "url"),
  bug(
    "an event is told twice",
    events,
    ring,
    "      place++;\n      const entry",
    '      place++;\n      if (place % 7 === 0) text += text.slice(0, text.indexOf("\\n\\n") + 2);\n      const entry',
  ),
  bug("listeners rest as long, whatever it costs", limits, feed, "30 * tookMs", "0 * tookMs"),
  bug("what listeners read on costs nothing", limits, feed, "#wakingMs * this.#chunks", "#wakingMs * this.#woken"),
  bug("listeners rest as long as it takes", limits, feed, ", 20 * leastMs)", ", Infinity)"),
  bug(
    "a gap is not told",
    events,
    feed,
    "if (cursor.place < horizon) {",
    "if (cursor.place < horizon && horizon > 1_000) {",
  ),
  bug("streams go on after a stop", events, feed, "      this.#stops++;\n", ""),
  bug("a reader that left is kept", events, feed, "    this.#open.delete(cursor);\n", ""),
  bug("a listener loses its mount", mounts, listener, "if (originalUrl !== undefined) incoming.url = originalUrl;", ""),
  bug(
    "a body that was parsed is waited for",
    mounts,
    listener,
    "wasRead(incoming) ? withBody(given, keptOf(incoming)) : given",
    "given",
  ),
  bug(
    "what the host has answered is answered again",
    nodeListener,
    listener,
    "if (outgoing.headersSent) return RESPONSE_ALREADY_SENT;",
    "",
  ),
  bug(
    "HEAD is sent a body",
    flowCases,
    reply,
    "return { status, headers, body: null };\n}\n\n/** The reply as",
    'return { status, headers, body: "x" };\n}\n\n/** The reply as',
  ),
  bug(
    "the host's Response is replaced",
    nodeListener,
    listener,
    "overrideGlobalObjects: false",
    "overrideGlobalObjects: true",
  ),
  bug(
    "the document forgets a field",
    openapi,
    documents,
    "disabled: v.boolean(),",
    "disabled: v.optional(v.string()),",
  ),
];
