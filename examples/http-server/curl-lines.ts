import { exec } from "node:child_process";
import { promisify } from "node:util";

/** What can be asked of the example's server. Each line ends by itself. */
export function curlLines(origin: string, token: string): readonly string[] {
  const curl = `curl -sS -f -H 'authorization: Bearer ${token}' -H 'content-type: application/json'`;
  const flow = "orders-to-ledger";
  return [
    `${curl} ${origin}/flows`,
    `${curl} -X POST -H 'prefer: wait=10' ${origin}/flows/${flow}/run`,
    `${curl} -X PATCH -d '{"schedule":"*/5 * * * *"}' ${origin}/flows/${flow}`,
    `${curl} -X POST -H 'idempotency-key: e-1' -d '{"id":"o-251","total":99}' ${origin}/exports/orders/records`,
    `${curl} '${origin}/runs?_flowId=${flow}&include=trigger,status,numSuccess'`,
    `${curl} -N -m 2 ${origin}/events || true`,
    `${curl} ${origin}/health`,
  ];
}

/** Runs a line, and returns it with its output, cut to what fits a screen. */
export async function tried(line: string): Promise<string> {
  const { stdout } = await promisify(exec)(line);
  return `\n$ ${line}\n${stdout.length > 400 ? `${stdout.slice(0, 400)}…` : stdout}`;
}
