// The clients of the HTTP cases, in a process of their own: what they cost is not the server's. Started with a job as JSON.
import { connect } from "node:net";
import autocannon from "autocannon";

const { kind, url, ...job } = JSON.parse(process.argv[2]);
const { hostname, port, pathname } = new URL(url);

/** So many requests over so many connections; answers how many came back as expected, and how long they took. */
async function load({ method, headers, body, connections, amount, expected }) {
  const told = await autocannon({ url, method, headers, body, connections, amount });
  const { errors, timeouts, statusCodeStats, latency } = told;
  const good = statusCodeStats?.[expected]?.count ?? 0;
  return { good, bad: amount - good + errors + timeouts, p50: latency.p50, p99: latency.p99 };
}

/** Keeps so many streams open, and counts what each is told; answers when told to stop. */
async function watch({ count }) {
  const counts = [];
  const sockets = [];
  const open = (index) =>
    new Promise((resolve, reject) => {
      const socket = connect(Number(port), hostname, () => socket.write(`GET ${pathname} HTTP/1.1\r\nhost: x\r\n\r\n`));
      let rest = "";
      counts[index] = { completed: 0, gaps: 0 };
      socket.setEncoding("latin1");
      socket.on("data", (text) => {
        const whole = rest + text;
        counts[index].completed += whole.split("\nevent: run:completed\n").length - 1;
        counts[index].gaps += whole.split("\nevent: gap\n").length - 1;
        // What is cut by the end of a chunk is counted with the next one.
        const last = whole.lastIndexOf("\nevent: ");
        rest = last > whole.length - 30 ? whole.slice(last) : whole.slice(-10).replace(/^[^]*\n(?=event)/, "\n");
        if (text.includes("retry: ")) resolve();
      });
      socket.on("error", reject);
      sockets[index] = socket;
    });
  for (let index = 0; index < count; index += 50)
    await Promise.all(Array.from({ length: Math.min(50, count - index) }, (_, more) => open(index + more)));
  process.send({ ready: true });
  await new Promise((resolve) => process.on("message", resolve));
  for (const socket of sockets) socket.destroy();
  const all = (name) => counts.reduce((sum, one) => sum + one[name], 0);
  return { completed: all("completed"), gaps: all("gaps"), fewest: Math.min(...counts.map((one) => one.completed)) };
}

process.send(await { load, watch }[kind](job));
process.disconnect();
