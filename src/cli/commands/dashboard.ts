import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { type Server, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createDashboard } from "../../dashboard/index.ts";
import { ForbiddenError } from "../../errors.ts";
import { type Action, type Authorize, bearerToken, createHandler } from "../../http/index.ts";
import { toNodeListener } from "../../http/node.ts";
import { messageOf } from "../../model/message.ts";
import { openFile } from "../api/file-api.ts";
import { CommandError, UsageError } from "../errors.ts";
import type { OwnCommand } from "./command.ts";

/** Serves the page. */
export const dashboard: OwnCommand = {
  name: "dashboard",
  operands: [],
  summary: "Serve the dashboard of a file on 127.0.0.1, until Ctrl+C.",
  details:
    "For a file of which the application serves no page. What other processes change is shown within seconds. The address and a token are printed, once; the page asks for the token. Flows cannot be changed on it, as their code is not here.",
  options: {
    port: { value: "N", least: 0, help: "Port to listen on. Any free one if it is left out." },
    "read-only": { help: "Nothing can be changed; the file is opened for reading only." },
  },
  async runOn(place, { output, terminal, values }) {
    if (!("file" in place))
      throw new UsageError("A dashboard is served for a file: --file flows.db. An API has the page of its application");
    const readOnly = values.has("read-only");
    const file = await openFile(place.file, { readOnly });
    const token = randomBytes(24).toString("base64url");
    const handler = createHandler({
      scheduler: file.scheduler,
      authorize: authorizeBy(token),
      basePath: "/api",
    });
    const server = createServer(toNodeListener(createDashboard({ handler, readOnly })));
    try {
      await listen(server, values.number("port") ?? 0);
      const { port } = server.address() as AddressInfo;
      const url = `http://127.0.0.1:${port}/`;
      if (output.json) output.document({ url, token });
      else {
        output.line("Open   ", { text: url, style: "bold" });
        output.line("Token  ", { text: token, style: "bold" });
        output.line("Ctrl+C ends it.");
      }
      if (!terminal.signal.aborted) await once(terminal.signal, "abort");
      return 0;
    } finally {
      server.closeAllConnections();
      server.close();
      await file.close();
    }
  },
};

async function listen(server: Server, port: number): Promise<void> {
  try {
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
  } catch (error) {
    throw new CommandError(`Port ${port} of 127.0.0.1 cannot be listened on: ${messageOf(error)}`);
  }
}

/** What needs the code of exports and imports. */
const needsCode: ReadonlySet<Action> = new Set<Action>([
  "flows.create",
  "flows.update",
  "flows.delete",
  "flows.clone",
  "records.accept",
]);

function authorizeBy(token: string): Authorize {
  const authorize = bearerToken(token);
  return (asked) => {
    const result = authorize(asked);
    if (needsCode.has(asked.action))
      throw new ForbiddenError("This needs the application's code, which a file does not have: do it there");
    return result;
  };
}
