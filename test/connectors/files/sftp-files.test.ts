import { mkdir, readdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { inspect } from "node:util";
import type { ConnectConfig } from "ssh2";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type SftpSession, fileImport, ndjson, sftpFiles } from "../../../src/connectors/files/index.ts";
import { errorOf, fateOf, importContext } from "../http/contexts.ts";
import { fallible, fileExportCases, fileImportCases, fileSystemCases, textOf } from "./file-system-cases.ts";
import { Sshd, whyNoSshd } from "./sshd.ts";

const { signal } = new AbortController();
const title = whyNoSshd === undefined ? "files of an SFTP server" : `files of an SFTP server (skipped: ${whyNoSshd})`;

describe.skipIf(whyNoSshd !== undefined)(title, () => {
  let sshd: Sshd;
  let connections = 0;
  beforeAll(async () => {
    sshd = await Sshd.start();
  });
  afterAll(() => sshd.close());

  const connect = () => {
    connections++;
    return sshd.connect();
  };
  let folders = 0;
  const newFolder = async () => {
    const folder = join(sshd.folder, `test-${++folders}`);
    await mkdir(folder);
    return folder;
  };
  const open = async () => fallible(sftpFiles({ connect, folder: await newFolder() }));

  for (const { title, run } of fileSystemCases(open)) test(title, run);
  for (const [name, place] of [
    ["a file for each page", { path: true }],
    ["one file", { append: "all.ndjson" }],
  ] as const) {
    const cases = fileImportCases(open, place);
    for (const { title, run } of cases) test(`${name}: ${title}`, run);
  }
  const exportCases = fileExportCases(open);
  for (const { title, run } of exportCases) test(title, run);
  test("no case of an export is skipped", () => expect(exportCases.skipped).toEqual([]));

  test("are listed through links to files, without those that are being written", async () => {
    const folder = await newFolder();
    await writeFile(join(folder, "a.txt"), "12345");
    await writeFile(join(folder, ".poundlock-draft"), "1");
    await symlink(join(folder, "a.txt"), join(folder, "link.txt"));
    await symlink(join(folder, "gone"), join(folder, "dangling"));

    const listed = await sftpFiles({ connect, folder }).list("", signal);

    expect(listed.map(({ path, size }) => [path, size]).sort()).toEqual([["a.txt", 5], ["link.txt", 5]]); // prettier-ignore
  });

  test("are as they were when replacing one fails, and no draft is left", async () => {
    const folder = await newFolder();
    await mkdir(join(folder, "a.txt/inside"), { recursive: true });
    const files = sftpFiles({ connect, folder });

    await expect(files.write("a.txt", Buffer.from("x"), { sync: "full" })).rejects.toThrow();

    expect(await readdir(folder)).toEqual(["a.txt"]);
  });

  test("are reached by one connection for all, and by another after it was cut", async () => {
    const files = sftpFiles({ connect, folder: await newFolder() });
    const before = connections;

    await Promise.all(["a", "b", "c"].map((path) => files.write(path, Buffer.from(path), { sync: "none" })));
    expect(connections - before).toBe(1);
    sshd.cut();
    await new Promise((resolve) => setTimeout(resolve, 50));

    expect(await textOf(files, "a")).toBe("a");
    expect(connections - before).toBe(2);
  });

  test("are waited for when the connection breaks off in the middle of a file", async () => {
    const files = sftpFiles({ connect, folder: await newFolder() });
    await files.write("a.bin", Buffer.alloc(3_000_000), { sync: "none" });
    const reading = files.read("a.bin", 0)[Symbol.asyncIterator]();
    await reading.next();

    sshd.cut();
    const rest = (async () => {
      while ((await reading.next()).done !== true);
    })();

    expect(await fateOf(rest)).toBe("retryLater");
  });

  test("stop an import that may not write or log in, and are waited for while the server is away", async () => {
    const write = (connectAs: () => Promise<SftpSession>, folder = sshd.folder) =>
      fateOf(
        (async () => {
          const files = sftpFiles({ connect: connectAs, folder });
          const into = fileImport<object>({ files, format: ndjson(), path: () => "a.ndjson" });
          await into.write([{}], importContext(1));
        })(),
      );

    expect(await write(() => sshd.connect({ username: "nobody-of-this-name" }))).toBe("stop");
    expect(await write(() => sshd.connect({ hostVerifier: () => false }))).toBe("stop");
    await sshd.kill();
    sshd.cut();
    expect(await write(connect)).toBe("retryLater");
    await sshd.restart();
    expect(await write(connect)).toBe("ok");
  });

  test("show no login in an error: a password, a passphrase, a key that cannot be read", async () => {
    const mark = "S3CR3T-MARK";
    const logins: readonly ConnectConfig[] = [
      { username: mark, password: mark },
      { password: mark, privateKey: `-----BEGIN OPENSSH PRIVATE KEY-----\n${mark}\n-----END OPENSSH PRIVATE KEY-----` },
      { passphrase: mark, privateKey: mark },
    ];
    for (const login of logins) {
      const files = sftpFiles({ connect: () => sshd.connect(login), folder: sshd.folder });
      const error = await errorOf(files.list("", signal));

      expect(inspect(error, { depth: 20, showHidden: true })).not.toContain(mark);
      expect(error).toMatchObject({ code: "EACCES" });
    }
  });

  test.each(["../a", "", "a//b", "a\0b"])("%j leads nowhere else", async (path) => {
    const files = sftpFiles({ connect, folder: sshd.folder });

    await expect(async () => files.write(path, Buffer.from(""), { sync: "none" })).rejects.toMatchObject({
      code: "EINVAL",
    });
  });
});
