import type { Export } from "../../src/index.ts";

/** What one run of a flow reads. */
export const [recordsPerPage, pagesPerRun] = [5, 2];
export const recordsPerRun = recordsPerPage * pagesPerRun;

/** Goes on after the last number that a run of its flow has committed. */
export const numbers: Export<number, { readonly after: number }> = {
  order: "ordered",
  key: String,
  async *pages({ checkpoint }) {
    let after = checkpoint?.after ?? 0;
    for (let page = 0; page < pagesPerRun; page++) {
      const records = Array.from({ length: recordsPerPage }, (_, index) => after + index + 1);
      after += recordsPerPage;
      yield { records, checkpoint: { after } };
    }
  },
};
