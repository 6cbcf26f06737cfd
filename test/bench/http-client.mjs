// The clients of the HTTP cases, in a process of their own: what they cost is not the server's. Started with a job as JSON.
import { connect } from "node:net";
import { setPriority } from "node:os";
import autocannon from "autocannon";

const { kind, url, ...job } = JSON.parse(process.argv[2]);
const { hostname, port, pathname } = new URL(url);

/** So many requests over so many connections; returns how many came back as expected, and how long they took. */
async function load({ method, headers, body, connections, amount, expected }) {
  const result = await autocannon({ url, method, headers, body, connections, amount });
  const { errors, timeouts, statusCodeStats, latency } = result;
  const good = statusCodeStats?.[expected]?.count ?? 0;
  return { good, bad: amount - good + errors + timeouts, p50: latency.p50, p99: latency.p99 };
}

/** Keeps so many streams open; when asked to stop, counts what each received. */
async function watch({ count }) {
  // Listeners are other machines: they must neither take the processor from the server, nor count while it is timed.
  setPriority(19);
  const received = Array.from({ length: count }, () => []);
  const open = (chunks) =>
    new Promise((resolve, reject) => {
      const socket = connect(Number(port), hostname, () => socket.write(`GET ${pathname} HTTP/1.1\r\nhost: x\r\n\r\n`));
      socket.on("data", (chunk) => {
        chunks.push(chunk);
        if (chunks.length <= 3 && Buffer.concat(chunks).includes("retry: ")) resolve(socket);
      });
      socket.on("error", reject);
    });
  const sockets = [];
  for (let from = 0; from < count; from += 50)
    sockets.push(...(await Promise.all(received.slice(from, from + 50).map((chunks) => open(chunks)))));
  process.send({ ready: true });
  await new Promise((resolve) => process.on("message", resolve));
  for (const socket of sockets) socket.destroy();
  let [completed, gaps, fewest] = [0, 0, Infinity];
  for (const chunks of received) {
    const text = Buffer.concat(chunks).toString("latin1");
    const ends = text.split("\nevent: run:completed\n").length - 1;
    completed += ends;
    gaps += text.split("\nevent: gap\n").length - 1;
    fewest = Math.min(fewest, ends);
  }
  return { completed, gaps, fewest };
}

process.send(await { load, watch }[kind](job));
process.disconnect();
