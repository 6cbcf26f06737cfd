"use strict";

const assert = require("node:assert/strict");
const { createServer } = require("node:http");

/** A host application with the HTTP interface on a server of its own, asked as a client would. */
module.exports = async function serveOrders({ FlowRegistry, Scheduler, UnauthorizedError }, http, { toNodeListener }) {
  const { bearerToken, createHandler } = http;
  const Before = [globalThis.Request, globalThis.Response];
  const written = [];
  const exports = { orders: { key: (order) => order.id, listen: () => () => undefined } };
  const imports = { ledger: { idempotent: true, write: async (records) => void written.push(...records) } };
  const registry = new FlowRegistry({ exports, imports });
  const scheduler = new Scheduler(registry);
  const token = bearerToken("let-me-in");
  const authorize = (ask) => {
    if (ask.request.headers.get("x-nobody") !== null) throw new UnauthorizedError("nobody");
    return token(ask);
  };
  const server = createServer(toNodeListener(createHandler({ scheduler, authorize })));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  await scheduler.start();

  const ask = async (method, path, body, headers = { authorization: "Bearer let-me-in" }) => {
    const response = await fetch(`http://127.0.0.1:${server.address().port}${path}`, {
      method,
      headers: { ...headers, ...(body === undefined ? {} : { "content-type": "application/json" }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, body: text === "" ? undefined : JSON.parse(text) };
  };

  assert.equal((await ask("GET", "/flows", undefined, {})).status, 401);
  assert.equal((await ask("GET", "/flows", undefined, { "x-nobody": "1" })).status, 401);
  assert.deepEqual(await ask("GET", "/flows"), { status: 200, body: [] });
  const made = await ask("POST", "/flows", { name: "Orders", _exportId: "orders", _importId: "ledger" });
  assert.equal(made.status, 201);
  const wrong = await ask("POST", "/flows", { name: "", _exportId: "none" });
  assert.deepEqual(
    [wrong.status, wrong.body.errors.map(({ field }) => field)],
    [422, ["name", "_importId", "_exportId"]],
  );
  assert.deepEqual(await ask("POST", "/exports/orders/records", [{ id: "o1" }, { id: "o2" }]), {
    status: 202,
    body: { accepted: 2, duplicates: 0 },
  });
  const [latest] = (await ask("GET", "/runs?status=completed")).body;
  await scheduler.waitFor(latest?._id ?? (await ask("GET", `/flows/${made.body._id}/jobs/latest`)).body._id);
  assert.equal(written.length, 2);
  assert.match((await ask("GET", "/openapi.json")).body.openapi, /^3\.1\./);

  await scheduler.stop();
  await new Promise((resolve) => server.close(resolve) && server.closeAllConnections());
  assert.deepEqual([globalThis.Request, globalThis.Response], Before, "the host's own classes were replaced");
  console.log("served over HTTP");
};
