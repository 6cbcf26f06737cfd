/** Headers of every answer. Answers are for who asked, and as of now. */
const common = { "x-content-type-options": "nosniff", "cache-control": "no-store" };
const commonJson = { ...common, "content-type": "application/json" };

/** An answer with a JSON body. */
export function json(status: number, value: unknown, headers?: Readonly<Record<string, string>>): Response {
  return jsonOf(status, JSON.stringify(value), headers);
}

/** An answer whose body is JSON already. */
export function jsonOf(status: number, text: string, headers?: Readonly<Record<string, string>>): Response {
  return new Response(text, { status, headers: headers === undefined ? commonJson : { ...commonJson, ...headers } });
}

/** An answer without a body. */
export function empty(status: number, headers?: Readonly<Record<string, string>>): Response {
  return new Response(null, { status, headers: { ...common, ...headers } });
}

// What is between asks these whether it may hold parts back until there is enough to compress, or to send (nginx).
const passedOn = { "cache-control": "no-store, no-transform", "x-accel-buffering": "no" };

/** An answer that goes on, each part of it when it comes. */
export function streamed(stream: ReadableStream<Uint8Array>, contentType: string): Response {
  return new Response(stream, { status: 200, headers: { ...common, ...passedOn, "content-type": contentType } });
}
