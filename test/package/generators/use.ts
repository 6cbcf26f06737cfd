/** What is asked of each generated client. Its own types have to fit. */
export interface FlowClient {
  create(flow: { name: string; _exportId: string; _importId: string; schedule: string }): Promise<{ _id: string }>;
  run(_id: string): Promise<{ status: string; numSuccess: number; numError: number }>;
  flows(): Promise<readonly { name: string; nextRunAt?: string }[]>;
  failures(_id: string): Promise<readonly { key: string; message: string }[]>;
  /** The status of a request for a flow that is not there, and the code of the error. */
  missing(_id: string): Promise<[number, string | undefined]>;
  remove(_id: string): Promise<unknown>;
}

/** Calls the served API, and prints what came back. */
export async function use(client: FlowClient): Promise<void> {
  const { _id } = await client.create({
    name: "Orders",
    _exportId: "orders",
    _importId: "ledger",
    schedule: "0 3 * * *",
  });
  const { status, numSuccess, numError } = await client.run(_id);
  const flows = await client.flows();
  const failures = await client.failures(_id);
  const missing = await client.missing("gone");
  await client.remove(_id);
  const scheduled = flows.map(({ name, nextRunAt }) => `${name} ${nextRunAt === undefined ? "never" : "scheduled"}`);
  const failed = failures.map(({ key, message }) => `${key}: ${message}`);
  console.log([status, numSuccess, numError, ...scheduled, ...failed, ...missing].join(", "));
}

export const baseUrl = process.env["BASE_URL"] ?? "";
export const token = "let-me-in";
export const headers = { authorization: `Bearer ${token}` };
