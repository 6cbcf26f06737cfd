import { readFile } from "node:fs/promises";
import { type IncomingMessage, type ServerResponse, createServer } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";
import type { Airport, Flight, FlightsPage } from "./flight.ts";

/** What goes wrong at the servers, once each: `show` says it. */
export type Incident = "too many requests" | "slow page" | "token expired" | "airports down";

/** Flights on a page. */
export const pageSize = 250;
/** An airport that the list of airports lacks to begin with. */
const unknown = "ISP";

/** Two servers on one port: an airline with real flights of 2001 (vega-datasets), and a list of airports. */
export class Airline {
  readonly flights: Flight[];
  readonly #airports: Map<string, string>;
  readonly #later: Flight[];
  readonly #show: (incident: Incident) => void;
  readonly #seen = new Set<Incident>();
  readonly #server = createServer((request, response) => void this.#respond(request, response));
  #tokens = 0;
  #lookups = 0;
  #downUntil = 0;
  /** Awaited before this lookup is answered: whoever waits for it has written nothing of its page to the table. */
  onLookup: (nth: number) => Promise<void> | void = () => undefined;

  private constructor(flights: Flight[], airports: readonly Airport[], show: (incident: Incident) => void) {
    this.#later = flights.splice(-40);
    this.flights = flights;
    this.#airports = new Map(airports.filter(([code]) => code !== unknown));
    this.#show = show;
  }

  static async start(show: (incident: Incident) => void): Promise<Airline> {
    const flights = JSON.parse(await dataSet("flights-20k.json")) as { date: string; delay: number; origin: string }[];
    const airports = (await dataSet("airports.csv")).trimEnd().split("\n").slice(1).map(airportIn);
    const airline = new Airline(flights.map(flightOf), airports, show);
    await new Promise<void>((resolve) => airline.#server.listen(0, "127.0.0.1", resolve));
    return airline;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Somebody adds the airport that is unknown. */
  addAirport(): void {
    this.#airports.set(unknown, "Long Island - MacArthur");
  }

  /** Time passes: there are more flights. */
  addFlights(): number {
    const added = this.#later.splice(0);
    this.flights.push(...added);
    return added.length;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await promisify(this.#server.close.bind(this.#server))();
  }

  async #respond({ url = "", headers }: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(url, this.url);
    if (pathname === "/token") {
      json(response, 200, { access_token: `token-${++this.#tokens}`, token_type: "bearer" });
      return;
    }
    if (pathname === "/airports") {
      await this.#findAirports(searchParams.getAll("code"), response);
      return;
    }
    await this.#list(searchParams, headers, response);
  }

  async #list(query: URLSearchParams, headers: IncomingMessage["headers"], response: ServerResponse): Promise<void> {
    const cursor = Number(query.get("cursor") ?? this.#first(query.get("since")));
    const page = cursor / pageSize + 1;
    if (page >= 12 && this.#once("token expired")) this.#tokens++; // what was given is not the newest any more
    if (headers.authorization !== `Bearer token-${this.#tokens}`) {
      json(response, 401, { error: "the token is not valid any more" });
      return;
    }
    if (page === 4 && this.#once("too many requests")) {
      json(response, 429, {}, { "retry-after": "1" });
      return;
    }
    await pause(page === 8 && this.#once("slow page") ? 5_000 : 30);
    const flights = this.flights.slice(cursor, cursor + pageSize);
    const next = cursor + pageSize < this.flights.length ? String(cursor + pageSize) : null;
    json(response, 200, { flights, next } satisfies FlightsPage);
  }

  async #findAirports(codes: readonly string[], response: ServerResponse): Promise<void> {
    await this.onLookup(++this.#lookups);
    if (this.#lookups >= 45 && this.#once("airports down")) this.#downUntil = Date.now() + 2_000;
    const downFor = Math.ceil((this.#downUntil - Date.now()) / 1_000);
    if (downFor > 0) {
      json(response, 503, {}, { "retry-after": String(downFor) });
      return;
    }
    const found = codes.flatMap((code) => {
      const name = this.#airports.get(code);
      return name === undefined ? [] : [[code, name]];
    });
    json(response, 200, found);
  }

  #first(since: string | null): number {
    const found = this.flights.findIndex(({ updatedAt }) => updatedAt >= (since ?? ""));
    return found < 0 ? this.flights.length : found;
  }

  #once(incident: Incident): boolean {
    if (this.#seen.has(incident)) return false;
    this.#seen.add(incident);
    this.#show(incident);
    return true;
  }
}

function json(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
}

/** A file of the `vega-datasets` package. */
function dataSet(name: string): Promise<string> {
  const entry = createRequire(import.meta.url).resolve("vega-datasets");
  return readFile(join(dirname(entry), "..", "data", name), "utf8");
}

// "2001/01/01 00:47" becomes a time of ISO 8601. Each 1,500th delay is not known.
function flightOf(given: { readonly date: string; readonly delay: number; readonly origin: string }, index: number) {
  const departure = `${given.date.replaceAll("/", "-").replace(" ", "T")}:00Z`;
  const delay = index % 1_500 === 1_499 ? "n/a" : given.delay;
  return { ...given, id: `F-${index + 1}`, departure, updatedAt: departure, delay } as unknown as Flight;
}

function airportIn(line: string): Airport {
  const [code = "", name = ""] = line.split(",");
  return [code, name];
}
