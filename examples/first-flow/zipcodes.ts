import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { pipeline } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import { type Info, parse } from "csv-parse";
import type { Export } from "poundlock";

/** A line of zipcodes.csv, as it stands there: everything is text. */
export interface Zipcode {
  readonly zip_code: string;
  readonly latitude: string;
  readonly longitude: string;
  readonly city: string;
  readonly state: string;
  readonly county: string;
}

const columns = ["zip_code", "latitude", "longitude", "city", "state", "county"];

/**
 * Streams a growing CSV file. Its checkpoint is how many bytes were read, so the next run goes on there: neither the
 * file nor what was exported of it is ever kept in memory.
 */
export function zipcodesOf(path: string, options: { readonly pageMs: number }): Export<Zipcode, { bytes: number }> {
  return {
    order: "ordered", // lines are only ever added at the end, so each page's checkpoint stays valid
    pageSize: 250,
    key: (zipcode) => zipcode.zip_code,
    async *pages({ checkpoint, pageSize, signal }) {
      const start = checkpoint?.bytes ?? 0;
      const { size } = await stat(path); // what is added from here on is the next run's
      if (start >= size) return;
      const parser = parse({ columns, info: true, from: start === 0 ? 2 : 1 }); // the first line is the header
      // Whichever of the two ends early takes the other along; what goes wrong is thrown by the loop below.
      pipeline(createReadStream(path, { start, end: size - 1, signal }), parser, () => undefined);

      let records: Zipcode[] = [];
      let bytes = start;
      for await (const { record, info } of parser as AsyncIterable<{ record: Zipcode; info: Info }>) {
        records.push(record);
        bytes = start + info.bytes;
        if (records.length < pageSize) continue;
        // A file on disk is read at once. Another application's API takes its time, and so does this example.
        await pause(options.pageMs, undefined, { signal });
        yield { records, checkpoint: { bytes } };
        records = [];
      }
      if (records.length > 0) yield { records, checkpoint: { bytes } };
    },
  };
}
