// Windows of the dashboard, in a process of their own: what they cost is not the server's. Each does what the page does: one
// stream of events, and what it shows loaded again, with If-None-Match, 150 ms after an event that concerns it, not within 2 s
// of the last time, and every 15 s. Started with a job as JSON.
import { setPriority } from "node:os";

const { url, _id, windows } = JSON.parse(process.argv[2]);
const [pauseMs, soonMs, tickMs] = [2_000, 150, 15_000];
const done = new AbortController();
const { signal } = done;
const counts = { events: 0, requests: 0, unchanged: 0, bad: 0 };

const hourMs = 3_600_000;
const end = Math.ceil(Date.now() / hourMs) * hourMs;
const [from, until] = [end - 48 * hourMs, end].map((at) => encodeURIComponent(new Date(at).toISOString()));
const moves = (name) => /^(run:(queued|started|completed|failed|canceled|requeued)|flow:.*)$/.test(name);
const never = () => false;
const screens = {
  overview: [
    ["/overview", moves],
    [`/statistics?from=${from}&until=${until}&step=hour`, never],
    ["/runs?status=running&limit=10", moves],
    ["/causes?limit=10", moves],
  ],
  run: [
    [`/runs/${_id}`, (_, { run }) => run?._id === _id],
    [`/failures?_runId=${_id}&limit=20`, (_, { run }) => run?._id === _id],
  ],
};

class Resource {
  constructor(path, concerns) {
    Object.assign(this, { path, concerns, loadedAt: 0, waiting: undefined, etag: undefined });
  }
  async load() {
    const headers = this.etag === undefined ? {} : { "if-none-match": this.etag };
    const response = await fetch(url + this.path, { headers, signal });
    await response.text();
    counts.requests++;
    if (response.status === 304) counts.unchanged++;
    else if (response.status === 200) this.etag = response.headers.get("etag") ?? undefined;
    else counts.bad++;
    this.loadedAt = Date.now();
  }
  soon() {
    this.waiting ??= setTimeout(
      () => {
        this.waiting = undefined;
        this.load().catch(failed);
      },
      Math.max(soonMs, this.loadedAt + pauseMs - Date.now()),
    );
  }
}

function failed(error) {
  if (!signal.aborted) throw error;
}

async function open(resources) {
  const response = await fetch(`${url}/events`, { signal });
  await Promise.all(resources.map((resource) => resource.load()));
  void listen(response.body, resources).catch(failed);
}

async function listen(body, resources) {
  let text = "";
  for await (const part of body.pipeThrough(new TextDecoderStream())) {
    text += part;
    const whole = text.split("\n\n");
    text = whole.pop();
    for (const event of whole) {
      const name = /^event: (.*)$/m.exec(event)?.[1];
      if (name === undefined) continue;
      counts.events++;
      const data = JSON.parse(/^data: (.*)$/m.exec(event)[1]);
      for (const resource of resources) if (name === "gap" || resource.concerns(name, data)) resource.soon();
    }
  }
}

// They are other machines: they must not take the processor from the server.
setPriority(19);
const shown = windows.map((screen) => screens[screen].map(([path, concerns]) => new Resource(path, concerns)));
await Promise.all(shown.map(open));
// Nobody opens ten windows in the same moment.
const ticks = shown.map((resources, index) => {
  let timer = setTimeout(
    () => {
      const tick = () => resources.forEach((resource) => resource.soon());
      tick();
      timer = setInterval(tick, tickMs);
    },
    (tickMs * (index + 0.5)) / shown.length,
  );
  return () => clearTimeout(timer);
});
process.on("disconnect", () => process.exit(1));
process.send({ ready: true });
await new Promise((resolve) => process.once("message", resolve));
done.abort();
ticks.forEach((stop) => stop());
process.send(counts);
