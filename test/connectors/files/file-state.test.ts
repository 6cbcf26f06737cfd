import { describe, expect, test } from "vitest";
import { FilesState, inOrder } from "../../../src/connectors/files/file-state.ts";

const fileAt = (path: string, modified: number) => ({ path, size: 1, modified });

describe("what is remembered of files", () => {
  test("is not that of files which are gone, once there are more than may be", () => {
    const state = new FilesState(undefined, 2);
    for (const [nth, path] of ["a", "b", "c"].entries()) state.set(fileAt(path, nth), 1, 1, true);

    state.trim(new Set(["b", "c"]));

    expect(state.checkpoint()).toEqual({ files: { b: [1, 1, 1, 1, 1], c: [1, 2, 1, 1, 1] } });
  });

  test("is folded from the oldest on, those of one time by their paths, up to one that is not read to its end", () => {
    const state = new FilesState(undefined, 1);
    state.set(fileAt("b", 5), 1, 1, true);
    state.set(fileAt("a", 5), 1, 1, true);
    state.set(fileAt("c", 6), 1, 1, false);
    state.set(fileAt("d", 7), 1, 1, true);

    state.trim(new Set(["a", "b", "c", "d"]));

    expect(state.checkpoint()).toEqual({
      before: [5, "b"],
      files: { c: [1, 6, 1, 1, 0], d: [1, 7, 1, 1, 1] },
    });
  });

  test("is in the order of change, and then of paths", () => {
    const files = [fileAt("b", 2), fileAt("a", 2), fileAt("c", 1), fileAt("b", 2)];

    expect(files.sort(inOrder).map(({ path }) => path)).toEqual(["c", "a", "b", "b"]);
  });
});
