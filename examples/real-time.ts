// One idea: events are taken in as they arrive. `listen` opens a webhook here; the sender gets 200 OK only when the event
// is on the disk, in the inbox of every flow that uses the export, and an event sent twice is moved once.

import { mkdtemp, rm } from "node:fs/promises";
import { type IncomingMessage, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { json } from "node:stream/consumers";
import { promisify } from "node:util";
import { type Export, FlowRegistry, type Import, Scheduler, isPoundlockError } from "poundlock";
import { SqliteStorage } from "poundlock/storage/sqlite";

interface Payment {
  readonly id: string;
  readonly amount: number;
}

let tellPort: (port: number) => void;
const port = new Promise<number>((resolve) => (tellPort = resolve));

const payments: Export<Payment> = {
  key: (payment) => payment.id,
  /**
   * Called when the scheduler starts, if an enabled flow uses this export; the function it returns stops it again. The scheduler
   * does not wait for it: an export that is slow to connect delays no other flow.
   */
  async listen({ accept }) {
    const server = createServer((request, response) => {
      const answer = (status: number, text: string) => response.writeHead(status).end(text);
      takeIn(request).then(
        ({ duplicates }) => (duplicates > 0 ? answer(200, "known already") : answer(202, "taken in")),
        // Any answer but OK makes a sender try again later, so nothing is lost. `busy`: the inbox is full.
        (error: unknown) => answer(isPoundlockError(error) && error.code === "busy" ? 429 : 500, "try again later"),
      );
    });
    const takeIn = async (request: IncomingMessage) => {
      const payment = (await json(request)) as Payment;
      return accept([payment], { ids: [payment.id] });
    };
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    tellPort((server.address() as AddressInfo).port);
    return async () => {
      server.closeAllConnections();
      await promisify(server.close.bind(server))();
    };
  },
};

const ledger: Import<Payment> = {
  idempotent: true,
  async write(records) {
    for (const { id, amount } of records) console.log(`  ledger: payment ${id} of ${amount}`);
  },
};

const folder = await mkdtemp(join(tmpdir(), "poundlock-"));
const storage = await SqliteStorage.open(join(folder, "flows.db"));
const registry = new FlowRegistry({ exports: { payments }, imports: { ledger }, storage });
const scheduler = new Scheduler(registry);
const flow = await registry.create({ name: "Payments to ledger", _exportId: "payments", _importId: "ledger" });
await scheduler.start();

async function send(payment: Payment): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${await port}/`, { method: "POST", body: JSON.stringify(payment) });
  console.log(`  sender: payment ${payment.id} → ${response.status} ${await response.text()}`);
}

console.log("a shop sends three payments, one of them twice:");
await send({ id: "p-1", amount: 100 });
await send({ id: "p-2", amount: 250 });
await send({ id: "p-1", amount: 100 }); // it did not hear our answer, say
await send({ id: "p-3", amount: 75 });

// Without a webhook of one's own, anything may hand events over.
await scheduler.accept("payments", [{ id: "p-4", amount: 20 }], { ids: ["p-4"] });

const { items: runs } = await scheduler.listRuns({ _flowId: flow._id });
const ended = await Promise.all(runs.map(({ _id }) => scheduler.waitFor(_id)));
const moved = ended.reduce((sum, run) => sum + run.numSuccess, 0);
console.log(`${moved} payments moved by ${ended.length} ${ended[0]?.trigger ?? ""} runs, one at a time`);
await scheduler.stop();
await storage.close();
await rm(folder, { recursive: true });
if (moved !== 4) throw new Error("each payment is to be moved once");
