/** A response that is not yet a `Response`: node:http writes a string without the stream that a `Response` makes of it. */
export interface Reply {
  readonly status: number;
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | ReadableStream<Uint8Array> | null;
}

// A reply is meant for one caller at one moment: no cache may keep it.
const common = { "x-content-type-options": "nosniff", "cache-control": "no-store" };
const commonJson = { ...common, "content-type": "application/json" };
// Tells proxies not to collect parts for compression, and nginx not to buffer.
const unbuffered = { "cache-control": "no-store, no-transform", "x-accel-buffering": "no" };

/** A reply with a JSON body. */
export function json(status: number, value: unknown, headers?: Readonly<Record<string, string>>): Reply {
  return jsonString(status, JSON.stringify(value), headers);
}

/** A reply whose body is JSON already. */
export function jsonString(status: number, body: string, headers?: Readonly<Record<string, string>>): Reply {
  return { status, headers: headers === undefined ? commonJson : { ...commonJson, ...headers }, body };
}

/** A reply with a body of plain text. */
export function plain(status: number, body: string): Reply {
  return { status, headers: { ...common, "content-type": "text/plain" }, body };
}

/** A reply without a body. */
export function empty(status: number, headers?: Readonly<Record<string, string>>): Reply {
  return { status, headers: { ...common, ...headers }, body: null };
}

/** A reply whose parts are sent as they are produced. */
export function streamed(stream: ReadableStream<Uint8Array>, contentType: string): Reply {
  return { status: 200, headers: { ...common, ...unbuffered, "content-type": contentType }, body: stream };
}

/** The same reply without its body, for HEAD. */
export function headOf({ status, headers, body }: Reply): Reply {
  if (body instanceof ReadableStream) body.cancel().catch(() => undefined);
  return { status, headers, body: null };
}

/** The reply as a web-standard `Response`. */
export function responseOf({ status, headers, body }: Reply): Response {
  return new Response(body, { status, headers });
}
