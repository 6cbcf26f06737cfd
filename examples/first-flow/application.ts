import { join } from "node:path";
import { FlowRegistry, type Import } from "poundlock";
import type { Storage } from "poundlock/storage";
import { SqliteStorage } from "poundlock/storage/sqlite";
import { dataSet } from "./data-set.ts";
import { type Movie, moviesOf, releaseOf, titleOf } from "./movies.ts";
import { NdjsonFile } from "./ndjson-file.ts";
import { Refused } from "./refused.ts";
import { UniqueIndex } from "./unique-index.ts";
import { type Zipcode, zipcodesOf } from "./zipcodes.ts";

/** A zip code as the map takes it. */
interface Place {
  readonly name: string;
  readonly latitude: number;
  readonly longitude: number;
}

/** A movie as the index takes it. */
interface Title {
  readonly name: string;
  readonly released: string;
}

/** Where everything is that the application reads, writes and remembers. */
export function pathsIn(folder: string) {
  return {
    flows: join(folder, "flows.db"), // what poundlock remembers
    log: join(folder, "log.ndjson"), // what it logs
    zipcodesCsv: join(folder, "zipcodes.csv"),
    zipcodes: join(folder, "zipcodes.ndjson"),
    map: join(folder, "map.ndjson"),
    movies: join(folder, "movies.ndjson"),
    index: join(folder, "index.ndjson"),
  };
}

/** Opens the destinations. They are files, too: they are as they were left, whatever ended the process before. */
export async function openDestinations(folder: string) {
  const paths = pathsIn(folder);
  return {
    zipcodes: await NdjsonFile.open(paths.zipcodes),
    map: await UniqueIndex.open<Place>(paths.map),
    movies: await NdjsonFile.open(paths.movies),
    index: await UniqueIndex.open<Title>(paths.index),
  };
}

/** What is written into. */
interface Destinations {
  readonly zipcodes: Pick<NdjsonFile, "append">;
  readonly map: Pick<UniqueIndex<Place>, "put">;
  readonly movies: Pick<NdjsonFile, "append">;
  readonly index: Pick<UniqueIndex<Title>, "put">;
}

/** How to write. `filter` leaves out what is not wanted, `map` makes of a record what the destination takes. */
export function importsInto(
  { zipcodes, map, movies, index }: Destinations,
  readDate: (movie: Movie) => string = releaseOf,
) {
  const zipcodesToFile: Import<Zipcode, object> = {
    idempotent: true, // writing a line again, under the same key, changes nothing: see ndjson-file.ts
    map: ({ zip_code, city, state }) => ({ zip: zip_code, place: `${city}, ${state}` }),
    write: (records, { keys }) => zipcodes.append(records, keys),
  };

  const zipcodesToMap: Import<Zipcode, Place> = {
    idempotent: true,
    batchSize: 100, // this destination takes 100 at a time, however long the export's pages are
    filter: ({ state }) => state !== "AK" && state !== "HI", // the map has no room for Alaska and Hawaii
    map({ zip_code, city, state, ...text }) {
      const latitude = Number(text.latitude);
      const longitude = Number(text.longitude);
      // What `map` throws is the record's own fault: it becomes a failure, and the others are delivered.
      if (!(latitude >= 15 && latitude <= 50 && longitude >= -125 && longitude <= -60))
        throw new Refused("outside the map", `${zip_code} ${city}, ${state} at ${latitude}, ${longitude}`);
      return { name: zip_code, latitude, longitude };
    },
    write: (records, { keys }) => map.put(records, keys),
  };

  const moviesToFile: Import<Movie, object> = {
    idempotent: true,
    filter: (movie) => movie["IMDB Rating"] !== null,
    map: (movie) => ({ title: String(movie.Title ?? ""), genre: movie["Major Genre"], rating: movie["IMDB Rating"] }),
    write: (records, { keys }) => movies.append(records, keys),
  };

  const moviesToIndex: Import<Movie, Title> = {
    idempotent: true,
    map: (movie) => ({ name: titleOf(movie), released: readDate(movie) }),
    write: (records, { keys }) => index.put(records, keys), // refuses remakes: their title is taken
  };

  return { zipcodesToFile, zipcodesToMap, moviesToFile, moviesToIndex };
}

/** How to read. */
export function exportsOf(folder: string) {
  return {
    zipcodes: zipcodesOf(pathsIn(folder).zipcodesCsv, { pageMs: 25 }),
    movies: moviesOf(dataSet("movies.json")),
  };
}

/** Opens the file in which poundlock keeps everything, or makes it. */
export function openStorage(folder: string): Promise<SqliteStorage> {
  return SqliteStorage.open(pathsIn(folder).flows);
}

/** Says at every start the same: which exports and imports there are, and which flows link them. */
export async function openRegistry(parts: {
  readonly exports: ReturnType<typeof exportsOf>;
  readonly imports: ReturnType<typeof importsInto>;
  readonly storage: Storage;
}) {
  const registry = new FlowRegistry({ ...parts, timezone: "Europe/Oslo" });
  const zipcodes = await registry.define("zipcodes", {
    name: "Zip codes to file and map",
    schedule: "0 2 * * *",
    _exportId: "zipcodes",
    _importIds: ["zipcodesToFile", "zipcodesToMap"],
  });
  const movies = await registry.define("movies", {
    name: "Movies to file and index",
    schedule: "30 2 * * 1-5",
    _exportId: "movies",
    _importIds: ["moviesToFile", "moviesToIndex"],
  });
  return { registry, zipcodes, movies };
}
