import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";

/** The parts of an OpenAPI document that responses are compared with. */
interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}
interface Operation {
  readonly responses: Readonly<Record<string, DocumentedAnswer>>;
}
interface DocumentedAnswer {
  readonly headers?: Readonly<Record<string, unknown>>;
  readonly content?: Readonly<Record<string, unknown>>;
}

/** What came back. */
export interface HttpResponse {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly json: unknown;
}

/** Headers that any answer may have. */
const everywhere = ["content-type", "content-length", "x-content-type-options", "cache-control", "www-authenticate"];

/** Compares responses with an OpenAPI document, read strictly: a field that it does not name is a fault. */
export class ResponseCheck {
  readonly #document: Document;
  readonly #ajv: Ajv2020;
  readonly #compiled = new Map<string, ValidateFunction>();

  constructor(document: object) {
    this.#document = closed(document) as Document;
    this.#ajv = new Ajv2020({ strict: false, allErrors: true });
    addFormats.default(this.#ajv);
    this.#ajv.addSchema(this.#document, "api");
    // With `include` or `exclude` any field may be absent, at any depth.
    this.#ajv.addSchema(withoutRequired(this.#document) as object, "shown");
  }

  /** Why the answer is not as the document says; empty if it is. `path` may have a query. */
  problems(method: string, path: string, answer: HttpResponse): readonly string[] {
    const common = commonProblems(answer);
    const template = this.#templateOf(path.replace(/[?#].*$/s, ""));
    const operations = template === undefined ? undefined : this.#document.paths[template];
    const documented = method === "HEAD" ? "get" : method.toLowerCase();
    const operation = operations?.[documented];
    if (template === undefined || operation === undefined)
      return [...common, ...this.#strayProblems(method, template, answer)];
    const expected = operation.responses[String(answer.status)];
    if (expected === undefined) return [...common, `the status ${answer.status} is not documented`];
    const place = ["paths", template, documented, "responses", String(answer.status)];
    const part = /[?&](?:include|exclude)=/.test(path) && answer.status === 200 ? "shown" : "api";
    const body = this.#bodyProblems([part, ...place], expected, method, answer);
    return [...common, ...headerProblems(expected, answer), ...body];
  }

  #templateOf(path: string): string | undefined {
    const fits = (template: string) =>
      new RegExp(`^${template.replace(/[.]/g, "\\.").replace(/\{\w+\}/g, "[^/]+")}$`).test(path);
    // A path without ids is the closer one.
    const ids = (template: string) => template.split("{").length;
    return Object.keys(this.#document.paths)
      .filter(fits)
      .sort((one, other) => ids(one) - ids(other) || one.length - other.length)[0];
  }

  /** Of responses that belong to no operation: nothing there, another method, or which methods there are. */
  #strayProblems(method: string, template: string | undefined, answer: HttpResponse): readonly string[] {
    const expected = template === undefined ? 404 : method === "OPTIONS" ? 204 : 405;
    const allow = template === undefined || answer.headers.has("allow") ? [] : ["no Allow header"];
    const status = answer.status === expected ? [] : [`the status ${answer.status} instead of ${expected}`];
    if (answer.status === 204 || method === "HEAD") return [...status, ...allow];
    return [...status, ...allow, ...this.#invalid(["api", "components", "schemas", "Errors"], answer.json)];
  }

  #bodyProblems(
    place: readonly string[],
    expected: DocumentedAnswer,
    method: string,
    answer: HttpResponse,
  ): readonly string[] {
    const types = Object.keys(expected.content ?? {});
    if (types.length === 0) return answer.text === "" ? [] : [`a body where none is documented: ${answer.text}`];
    const type = answer.headers.get("content-type") ?? "none";
    if (!types.includes(type)) return [`content-type ${type} is not documented`];
    if (method === "HEAD") return answer.text === "" ? [] : ["a body in answer to HEAD"];
    if (type !== "application/json") return [];
    return this.#invalid([...place, "content", type, "schema"], answer.json);
  }

  #invalid([part = "", ...place]: readonly string[], value: unknown): readonly string[] {
    const pointer = place.map((step) => encodeURIComponent(step.replaceAll("~", "~0").replaceAll("/", "~1"))).join("/");
    const reference = `${part}#/${pointer}`;
    const validate = this.#compiled.get(reference) ?? this.#ajv.compile({ $ref: reference });
    this.#compiled.set(reference, validate);
    if (validate(value)) return [];
    return (validate.errors ?? []).map(({ instancePath, message = "", params }) =>
      `${instancePath} ${message} ${JSON.stringify(params)}`.trim(),
    );
  }
}

function commonProblems({ headers, status, text }: HttpResponse): readonly string[] {
  const problems: string[] = [];
  if (headers.get("x-content-type-options") !== "nosniff") problems.push("no nosniff");
  if (!/no-store|no-cache/.test(headers.get("cache-control") ?? "")) problems.push("it could be cached");
  if (headers.has("access-control-allow-origin")) problems.push("it allows other origins");
  if (status >= 500 && status !== 503) problems.push(`an error that nobody expected: ${text}`);
  return problems;
}

function headerProblems(expected: DocumentedAnswer, { headers }: HttpResponse): readonly string[] {
  const known = [...everywhere, ...Object.keys(expected.headers ?? {}), "retry-after"];
  return [...headers.keys()].filter((name) => !known.includes(name)).map((name) => `header ${name} is not documented`);
}

/** The document with every object's fields as all that it may have. */
function closed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(closed);
  if (typeof value !== "object" || value === null) return value;
  const copy = Object.fromEntries(Object.entries(value).map(([name, member]) => [name, closed(member)]));
  const isShape = "properties" in copy && copy.type === "object" && !("additionalProperties" in copy);
  return isShape ? { ...copy, additionalProperties: false } : copy;
}

function withoutRequired(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutRequired);
  if (typeof value !== "object" || value === null) return value;
  const members = Object.entries(value).filter(([name, member]) => !(name === "required" && Array.isArray(member)));
  return Object.fromEntries(members.map(([name, member]) => [name, withoutRequired(member)]));
}
