/** What the host is started with: where the servers are, and where its files are to be. */
export const [server = "", folder = ""] = process.argv.slice(2);

/** A flight as the airline's API has it. */
export interface Flight {
  readonly id: string;
  readonly departure: string;
  readonly origin: string;
  readonly destination: string;
  /** Minutes. Some of the airline's own records say "n/a". */
  readonly delay: number | string | null;
  readonly updatedAt: string;
}

/** What the API responds with. */
export interface FlightsPage {
  readonly flights: readonly Flight[];
  readonly next: string | null;
}

/** A code and the airport's name, as the other API has them. */
export type Airport = [code: string, name: string];

/** What of a flight is written into the CSV file. */
export const columns = ["id", "departure", "origin", "destination", "delay"] as const;

/** The table, which is strict: a delay that is no whole number is refused. */
export const createTable = "create table flights (id text primary key, origin text not null, delay integer) strict";
