import { open } from "node:fs/promises";

/** The `number`-th record, the same every time; its line has about 119 bytes. */
export function recordOf(number) {
  return {
    id: `o-${1_000_000 + number}`,
    name: `Customer ${number % 9_973}`,
    email: `customer${number % 9_973}@example.com`,
    amount: (number % 100_000) / 100,
    at: `2026-05-${String((number % 28) + 1).padStart(2, "0")}`,
    open: number % 3 === 0,
  };
}

/** What is dropped: one record in ten. */
export const keep = (record) => !record.id.endsWith("0");

export const map = ({ id, name, email, amount }) => ({
  order: id,
  customer: name,
  to: email,
  cents: Math.round(amount * 100),
});

/** One line for each. */
export function linesOf(records) {
  let text = "";
  for (const record of records) text += `${JSON.stringify(record)}\n`;
  return text;
}

export async function writeRecords(file, total) {
  const handle = await open(file, "w");
  for (let first = 0; first < total; first += 10_000) {
    let text = "";
    for (let number = first; number < Math.min(total, first + 10_000); number++)
      text += `${JSON.stringify(recordOf(number))}\n`;
    await handle.appendFile(text);
  }
  await handle.sync();
  await handle.close();
}

const chunkBytes = 262_144;

/** Records of a file by pages, and the byte after the last of each. Decodes a chunk at once. */
export async function* recordPages(file, pageSize, start = 0) {
  const handle = await open(file);
  try {
    let records = [];
    let offset = start;
    for await (const { lines, ascii } of lineChunks(handle, start)) {
      for (const line of lines) {
        records.push(JSON.parse(line));
        offset += (ascii ? line.length : Buffer.byteLength(line)) + 1;
        if (records.length < pageSize) continue;
        yield { records, offset };
        records = [];
      }
    }
    if (records.length > 0) yield { records, offset };
  } finally {
    await handle.close();
  }
}

/** The lines that end in each chunk. */
async function* lineChunks(handle, start) {
  let buffer = Buffer.allocUnsafe(chunkBytes);
  let kept = 0;
  for (let position = start; ;) {
    const { bytesRead } = await handle.read(buffer, kept, buffer.length - kept, position);
    if (bytesRead === 0) break;
    position += bytesRead;
    const end = kept + bytesRead;
    const last = buffer.lastIndexOf(10, end - 1);
    if (last < 0) {
      if (end === buffer.length) buffer = Buffer.concat([buffer, Buffer.allocUnsafe(buffer.length)]);
      kept = end;
      continue;
    }
    const text = buffer.toString("utf8", 0, last);
    yield { lines: text.split("\n"), ascii: text.length === last };
    buffer.copy(buffer, 0, last + 1, end);
    kept = end - last - 1;
  }
}
