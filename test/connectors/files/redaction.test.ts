import { inspect } from "node:util";
import { gzipSync } from "node:zlib";
import { S3 } from "@aws-sdk/client-s3";
import { type Export, FlowRegistry, type ImportMembers, Scheduler } from "poundlock";
import {
  type FileSystem,
  type Format,
  type SftpSession,
  csv,
  fileExport,
  fileImport,
  jsonArray,
  ndjson,
  s3Files,
  sftpFiles,
} from "poundlock/connectors/files";
import { describe, expect, onTestFinished, test } from "vitest";
import { unusable, withoutCredentials } from "../../../src/connectors/files/file-error.ts";
import { type Fault, type Reply, type SeenRequest, startServer } from "../http/server.ts";
import { FilesInMemory } from "./files-in-memory.ts";

/** In every credential, address, login and content of these tests, and in nothing else. */
const mark = "S3CR3T-MARK";
const { signal } = new AbortController();
const shown = (error: unknown) => inspect(error, { depth: 20, showHidden: true });

/** All that a flow logs, emits and stores, but for records: what could not be read is kept to be looked at. */
async function shownBy<C>(from: Export<object, C>, into: ImportMembers<object>): Promise<string> {
  const lines: unknown[] = [];
  const line = (...given: unknown[]) => void lines.push(given);
  const registry = new FlowRegistry({ exports: { from }, imports: { into } });
  const scheduler = new Scheduler(registry, {
    ...{ maxAttempts: 1, retryDelayMs: 1 },
    logger: { debug: line, info: line, warn: line, error: line },
  });
  onTestFinished(() => scheduler.stop());
  for (const event of ["run:failed", "run:completed", "run:retrying", "import:paused", "background:error"] as const)
    scheduler.on(event, (payload) => line(event, payload));
  await scheduler.start();
  const flow = await registry.create({ name: "a", _exportId: "from", _importId: "into" });
  const { _id } = await scheduler.run(flow._id);
  for (let tries = 0; tries < 500; tries++) {
    const { status, retryAt } = (await scheduler.getRun(_id)) as { status: string; retryAt?: string };
    const isPaused = lines.some((given) => (given as [unknown])[0] === "run:retrying") || retryAt !== undefined;
    if (isPaused || ["completed", "failed"].includes(status)) break;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const failures = await scheduler.listFailures({ _flowId: flow._id });
  const messages = failures.items.map(({ record: _, ...rest }) => rest);
  return inspect({ run: await scheduler.getRun(_id), messages, lines }, { depth: 20, showHidden: true });
}

const two: Export<object> = {
  async *pages() {
    yield [{ id: "1" }, { id: "2" }];
  },
};
const noOp: ImportMembers<object> = { idempotent: true, write: async () => undefined };

/** What every file system is asked; each ends with an error. */
async function errorsOf(files: FileSystem): Promise<readonly Error[]> {
  const read = async (path: string, start: number) => {
    for await (const chunk of files.read(path, start)) expect(chunk).toBeDefined();
  };
  const bytes = Buffer.from(mark);
  const calls: readonly (() => unknown)[] = [
    () => files.list("in", signal),
    () => read("a.csv", 0),
    () => read("a.csv", 7),
    () => files.write("a.csv", bytes, { sync: "full" }),
    () => files.write("a.csv", Buffer.alloc(17 * 1024 * 1024, mark), { sync: "full" }),
    () => files.move?.("a.csv", "b.csv"),
    () => files.remove?.("a.csv"),
    () => files.append?.("a.csv", 0, bytes, { sync: "full" }),
  ];
  const errors: Error[] = [];
  for (const call of calls) {
    const [ended] = await Promise.allSettled([Promise.resolve().then(call)]);
    if (ended.status === "rejected") errors.push(ended.reason as Error);
  }
  return errors;
}

const preSigned = `https://user:${mark}@drop.example/a.csv?X-Amz-Credential=${mark}&X-Amz-Signature=${mark}&x=1`;

/** A server that quotes all it was sent, in every way that it may come in a message. */
function quoting(status: number, code: string) {
  return ({ headers, method, path }: SeenRequest): Reply => {
    const said = [
      `${method} ${path}`,
      JSON.stringify(headers),
      ...Object.entries(headers).map(([name, value]) => `${name}: ${String(value)}`),
      preSigned,
      `X-Amz-Security-Token=${mark}`,
      `the password "${mark}", or secret=${mark}`,
    ];
    const message = said.join("\n").replaceAll("&", "&amp;").replaceAll("<", "&lt;");
    const fields = `<AWSAccessKeyId>${mark}</AWSAccessKeyId><StringToSign>${mark}</StringToSign>`;
    const body = `<?xml version="1.0"?><Error><Code>${code}</Code><Message>${message}</Message>${fields}</Error>`;
    return { status, body, headers: { "content-type": "application/xml", "x-amz-request-id": "1" } };
  };
}

/** A bucket of a server, with credentials that are nothing but the mark. */
function bucketAt(url: string): FileSystem {
  const credentials = { accessKeyId: mark, secretAccessKey: `${mark}-key`, sessionToken: `${mark}-session` };
  const client = new S3({ endpoint: url, region: "us-east-1", forcePathStyle: true, maxAttempts: 1, credentials });
  onTestFinished(() => client.destroy());
  return s3Files({ client, bucket: "drop", folder: "in" });
}

describe("S3: no error shows a credential, a query or what was written", () => {
  test.each([
    [301, "PermanentRedirect"],
    [400, "AuthorizationHeaderMalformed"],
    [403, "SignatureDoesNotMatch"],
    [404, "NoSuchBucket"],
    [503, "SlowDown"],
  ])("at %i %s", async (status, code) => {
    const server = await startServer(quoting(status, code));

    const errors = await errorsOf(bucketAt(server.url));

    expect(errors.length).toBeGreaterThanOrEqual(6);
    for (const error of errors) {
      expect(shown(error)).not.toContain(mark);
      expect(error.message).toContain("drop/in/");
    }
    expect(inspect(server.seen, { depth: 9 })).toContain(mark);
  });

  test.each<Fault>(["reset", "cut", "short", "noHttp"])("when the connection breaks: %s", async (fault) => {
    const server = await startServer(() => fault);

    const errors = await errorsOf(bucketAt(server.url));

    expect(errors.length).toBeGreaterThanOrEqual(6);
    for (const error of errors) expect(shown(error)).not.toContain(mark);
  });

  test("nor does what a run logs, emits and stores", { timeout: 30_000 }, async () => {
    for (const [status, code] of [
      [403, "InvalidAccessKeyId"],
      [503, "SlowDown"],
    ] as const) {
      const files = bucketAt((await startServer(quoting(status, code))).url);
      const from = fileExport<object>({ files, match: "*.csv", format: csv<object>(), settleMs: 0 });
      const into = fileImport<object>({ files, format: ndjson<object>(), path: ({ page }) => `${page}.ndjson` });

      for (const text of [await shownBy(from, noOp), await shownBy(two, into)]) {
        expect(text).toContain("drop/in/");
        expect(text).not.toContain(mark);
      }
    }
  });
});

describe("SFTP: no error shows a credential or what was written", () => {
  const said = `Permission denied for sftp://user:${mark}@sftp.example/, password: ${mark}, privateKey="${mark}"
    -----BEGIN OPENSSH PRIVATE KEY-----\n${mark.replace("-", "")}\n${mark}`;
  /** A session whose every request fails, as its server says. */
  const failing = (code: number | undefined) => {
    const fail = (...given: unknown[]) => {
      const done = given.at(-1) as (error: Error) => void;
      done(Object.assign(new Error(said), code === undefined ? {} : { code }));
    };
    const session = { once: () => undefined };
    return new Proxy(session, {
      get: (target, name) => (name in target ? Reflect.get(target, name) as unknown : name === "then" ? undefined : fail), // prettier-ignore
    }) as unknown as SftpSession;
  };

  test.each([undefined, 3, 4, 8])("when every request ends with the status %s", async (code) => {
    const errors = await errorsOf(sftpFiles({ connect: async () => failing(code), folder: "/in" }));

    expect(errors.length).toBeGreaterThanOrEqual(7);
    for (const error of errors) expect(shown(error)).not.toContain(mark);
  });

  test.each([{}, { level: "client-authentication" }, { code: "ECONNREFUSED" }])(
    "when there is no session: %o",
    async (fields) => {
      const files = sftpFiles({ connect: () => Promise.reject(Object.assign(new Error(said), fields)) });
      const from = fileExport<object>({ files, match: "*.csv", format: csv<object>(), settleMs: 0 });

      for (const error of await errorsOf(files)) expect(shown(error)).not.toContain(mark);
      expect(await shownBy(from, noOp)).not.toContain(mark);
    },
  );
});

describe("what is in a file is in no message:", () => {
  const contents: readonly (readonly [name: string, format: Format<object>, content: string | Buffer])[] = [
    [
      "a line of JSON that is none",
      ndjson<object>(),
      `{"a":"${mark}","b":x}\n${mark}\n{"a":"${mark}\n{"${mark}":1 2}\n`,
    ],
    ["an element of JSON that is none", jsonArray<object>(), `[{"a":"${mark}","b":x},\n${mark},\n{"a":"${mark}`],
    ["no array of JSON", jsonArray<object>({ at: ["items"] }), `{"${mark}":["${mark}"]}`],
    ["a row with another number of fields", csv<object>(), `a,b\n${mark}\n${mark},${mark},${mark}\n`],
    ["a quote within a field, and one that is never closed", csv<object>(), `a,b\n${mark}"${mark},1\n"${mark}`],
    ["no line of column names", csv<object>(), `${mark},${mark}\n1,2\n`],
    ["a line of column names that cannot be read", csv<object>(), `"${mark}"${mark},b\n1,2\n`],
    ["other columns than are expected", csv<object>({ columns: ["id"] }), `${mark},b\n1,2\n`],
    ["bytes of another encoding", csv<object>(), Buffer.from(`a\n${mark}\xff\n`, "latin1")],
    ["a record that is too long", ndjson<object>(), `"${mark.repeat(200)}"\n`],
  ];

  test.each(contents)("%s", async (_name, format, content) => {
    for (const path of ["in/a", "in/a.gz"]) {
      const files = new FilesInMemory();
      files.set(path, path.endsWith(".gz") ? gzipSync(content) : content);
      const from = fileExport<object>({ files, match: "in/*", format, settleMs: 0, maxRecordBytes: 500 });

      const text = await shownBy(from, noOp);

      expect(text).toContain(`${path}, `);
      expect(text).not.toContain(mark);
    }
  });

  test("a record that cannot be written", async () => {
    const files = new FilesInMemory();
    const record = { [mark]: mark, big: 1n };
    const into = fileImport<object>({ files, format: ndjson<object>(), path: () => "a.ndjson" });
    const from: Export<object> = {
      async *pages() {
        yield [record];
      },
    };

    expect(await shownBy(from, into)).not.toContain(mark);
  });
});

test.each([
  ["Access Denied", "Access Denied"],
  ["The AWS Access Key Id you provided does not exist", "The AWS Access Key Id you provided does not exist"],
  [
    "the region 'us-east-1' is wrong; expecting 'eu-north-1'",
    "the region 'us-east-1' is wrong; expecting 'eu-north-1'",
  ],
  ["getaddrinfo ENOTFOUND drop.example", "getaddrinfo ENOTFOUND drop.example"],
  [`AWS4-HMAC-SHA256 Credential=a/b, Signature=c" and more`, `AWS4-HMAC-SHA256 ***" and more`],
  ["AWS AKID:c2lnbmF0dXJl, Basic dXNlcg==", "AWS ***, Basic ***"],
  ["GET https://a.example/b?c=d&e=f (403)", "GET https://a.example/b?*** (403)"],
  [`{"Authorization":"x y","a":"b"}`, `{"Authorization":***,"a":"b"}`],
  [`x-amz-security-token: abc, secretAccessKey='d e'`, `x-amz-security-token: ***, secretAccessKey=***`],
  [`{\\"sessionToken\\":\\"abc def`, `{\\"sessionToken\\":***`],
])("of %s a message quotes %s", (text, quoted) => {
  expect(withoutCredentials(text)).toBe(quoted);
  expect(unusable("a.csv", "EACCES", text).message).toBe(`a.csv: ${quoted}`);
});
