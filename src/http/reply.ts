/** What a request is answered with. Not yet a `Response`: node:http writes a text without the stream that makes of it. */
export interface Reply {
  readonly status: number;
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | ReadableStream<Uint8Array> | null;
}

// For who asked, and as of now.
const common = { "x-content-type-options": "nosniff", "cache-control": "no-store" };
const commonJson = { ...common, "content-type": "application/json" };
// What is between asks these whether it may hold parts back until there is enough to compress, or to send (nginx).
const passedOn = { "cache-control": "no-store, no-transform", "x-accel-buffering": "no" };

/** A reply with a JSON body. */
export function json(status: number, value: unknown, headers?: Readonly<Record<string, string>>): Reply {
  return jsonOf(status, JSON.stringify(value), headers);
}

/** A reply whose body is JSON already. */
export function jsonOf(status: number, text: string, headers?: Readonly<Record<string, string>>): Reply {
  return { status, headers: headers === undefined ? commonJson : { ...commonJson, ...headers }, body: text };
}

/** A reply without a body. */
export function empty(status: number, headers?: Readonly<Record<string, string>>): Reply {
  return { status, headers: { ...common, ...headers }, body: null };
}

/** A reply that goes on, each part of it when it comes. */
export function streamed(stream: ReadableStream<Uint8Array>, contentType: string): Reply {
  return { status: 200, headers: { ...common, ...passedOn, "content-type": contentType }, body: stream };
}

/** The same without its body, as HEAD is answered. A stream that nobody has read holds nothing. */
export function headOf({ status, headers }: Reply): Reply {
  return { status, headers, body: null };
}

/** The reply as what web standards call it. */
export function responseOf({ status, headers, body }: Reply): Response {
  return new Response(body, { status, headers });
}
