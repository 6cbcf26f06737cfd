import { inspect } from "node:util";
import { FlowRegistry, Scheduler } from "poundlock";
import {
  type Auth,
  apiKey,
  basic,
  bearer,
  connection,
  hmac,
  httpExport,
  httpImport,
  nextUrl,
} from "poundlock/connectors/http";
import { describe, expect, onTestFinished, test } from "vitest";
import { withoutSecrets } from "../../../src/connectors/http/redaction.ts";
import { errorOf } from "./contexts.ts";
import { type Fault, type Reply, type SeenRequest, startServer } from "./server.ts";

/** In every credential, header and query of these tests, and in nothing else. */
const mark = "S3CR3T-MARK";
const secret = `${mark}-"ä&=/`;

/** A server that quotes all it was sent: as text, as JSON, and decoded. */
function quoting(status: number) {
  return ({ headers, path }: SeenRequest): Reply => {
    const [, basicPair = ""] = /^Basic (.*)/.exec(headers.authorization ?? "") ?? [];
    const pair = Buffer.from(basicPair, "base64").toString();
    const body = `{"url": ${JSON.stringify(path)}, "decoded": ${decodeURIComponent(path)}, "pair": ${JSON.stringify(pair)}, `;
    return {
      status,
      body: `${body} "headers": ${JSON.stringify(headers)}`,
      headers: { location: `http://other.example/?t=${mark}` },
    };
  };
}

const auths: Readonly<Record<string, Auth>> = {
  bearer: bearer(`${mark}-token`),
  basic: basic(`${mark}-user`, secret),
  "apiKey in a header": apiKey({ key: `${mark}-key`, header: "x-api-key" }),
  "apiKey in the query": apiKey({ key: secret, query: "key" }),
  hmac: hmac({ secret, header: "x-signature", prefix: `${mark}=` }),
};

const request = { path: "orders", query: { since: `${mark} since` }, headers: { "x-tenant": `${mark}-tenant` } };

describe.each(Object.entries(auths))("with %s no error shows a secret, a query or a header", (_name, auth) => {
  test.each([200, 302, 400, 401, 403, 409, 422, 429, 500, 503])("at %i", async (status) => {
    const server = await startServer(quoting(status));
    const to = connection({ baseUrl: server.url, auth, attempts: 1, headers: { cookie: `${mark}-cookie` } });

    for (const error of [await errorOf(to.read(request)), await errorOf(to.send({ ...request, method: "PUT" }))]) {
      expect(inspect(error, { depth: 20, showHidden: true })).not.toContain(mark);
      expect(error.message).toContain("/orders ");
    }
    expect(inspect(server.seen)).toContain(mark);
  });

  test.each<Fault>(["reset", "cut", "short", "noHttp"])("when the connection breaks: %s", async (fault) => {
    const server = await startServer(() => fault);
    const to = connection({ baseUrl: server.url, auth, attempts: 1 });

    expect(inspect(await errorOf(to.send(request)), { depth: 20, showHidden: true })).not.toContain(mark);
  });
});

test("what a run logs and stores of its errors shows none either", async () => {
  const source = await startServer(({ query }) =>
    query.has("next")
      ? { status: 500, body: { echo: [...query] } }
      : { body: { items: ["1", "2"], next: `/?next=${mark}` } },
  );
  const target = await startServer(quoting(422));
  const from = httpExport({
    connection: connection({
      baseUrl: source.url,
      auth: auths["apiKey in the query"] ?? expect.unreachable(),
      attempts: 1,
    }),
    ...{ request: () => request, records: (body: { items: string[]; next: string }) => body.items },
    paging: nextUrl(({ next }) => next),
    key: (id) => id,
  });
  const into = httpImport({
    connection: connection({ baseUrl: target.url, auth: auths.bearer ?? expect.unreachable() }),
    request: (id: string) => ({ ...request, method: "PUT", path: ["items", id] }),
    idempotent: true,
  });
  const lines: unknown[] = [];
  const line = (...given: unknown[]) => void lines.push(given);
  const registry = new FlowRegistry({ exports: { from }, imports: { into } });
  const scheduler = new Scheduler(registry, {
    maxAttempts: 1,
    logger: { debug: line, info: line, warn: line, error: line },
  });
  onTestFinished(() => scheduler.stop());
  await scheduler.start();
  const flow = await registry.create({ name: "a", _exportId: "from", _importId: "into" });

  const { _id } = await scheduler.run(flow._id);
  const run = await scheduler.waitFor(_id);
  const failures = await scheduler.listFailures({ _flowId: flow._id });

  expect(run).toMatchObject({ status: "failed", numError: 2, error: { code: "export_failed" } });
  expect(failures.items).toMatchObject([{ code: "http_422" }, { code: "http_422" }]);
  expect(lines.length).toBeGreaterThan(0);
  for (const shown of [run, failures, lines]) expect(inspect(shown, { depth: 20 })).not.toContain(mark);
});

test("each spelling of a secret is taken out, a longer one before a shorter one", () => {
  const text = `abc "quo\\"ted" q%26a%3Db+c abcdef xyz`;

  expect(withoutSecrets(text, ["abcd", "abcdef", 'quo"ted', "q&a=b c", "xyz", ""])).toBe('abc "***" *** *** xyz');
});
