import { readFile } from "node:fs/promises";
import type { Export } from "poundlock";
import { Refused } from "./refused.ts";

/** An entry of movies.json, as far as it is used here. The data are dirty: a title may be a number, or missing. */
export interface Movie {
  readonly Title: string | number | null;
  readonly "Release Date": string;
  readonly "Major Genre": string | null;
  readonly "IMDB Rating": number | null;
}

/** The list was made in 2010; some of its two-digit years ended up in the wrong century. */
const newestYear = 2010;

/** Reads a JSON array that grows at its end. A plain source like this needs few lines; its checkpoint is a count. */
export function moviesOf(path: string): Export<Movie, { read: number }> {
  return {
    pageSize: 250,
    key: (movie) => `${movie.Title ?? "untitled"}, ${movie["Release Date"]}`,
    async *pages({ checkpoint, pageSize }) {
      const movies = JSON.parse(await readFile(path, "utf8")) as Movie[];
      for (let read = checkpoint?.read ?? 0; read < movies.length;) {
        const records = movies.slice(read, read + pageSize);
        read += records.length;
        yield { records, checkpoint: { read }, total: movies.length };
      }
    },
  };
}

/** @throws Refused if there is none. */
export function titleOf(movie: Movie): string {
  if (movie.Title !== null) return String(movie.Title);
  throw new Refused("no title", `a movie released on ${movie["Release Date"]}`);
}

/** The release date as `1998-06-12`. @throws Refused if it cannot be true. */
export function releaseOf(movie: Movie): string {
  const released = new Date(`${movie["Release Date"]} UTC`);
  if (Number.isNaN(released.getTime())) throw new Refused("no release date", `"${titleOf(movie)}"`);
  const date = released.toISOString().slice(0, 10);
  if (released.getUTCFullYear() <= newestYear) return date;
  throw new Refused("release date after the list was made", `"${titleOf(movie)}" on ${date}`);
}

/** The same, by somebody who has found out why some cannot be true. */
export function correctedReleaseOf(movie: Movie): string {
  const year = Number(movie["Release Date"].slice(-4));
  const date = year > newestYear ? movie["Release Date"].replace(String(year), String(year - 100)) : undefined;
  return releaseOf(date === undefined ? movie : { ...movie, "Release Date": date });
}
