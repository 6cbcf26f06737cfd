"use strict";

const { FlowRegistry, Scheduler } = require("poundlock");

/** A host application whose server speaks `Request` and `Response`, so that it has no adapter for node:http installed. */
async function main({ allowAll, createHandler }) {
  const registry = new FlowRegistry({ exports: {}, imports: {} });
  const handler = createHandler({ scheduler: new Scheduler(registry), authorize: allowAll() });
  return (await handler(new Request("http://localhost/flows"))).status;
}

void Promise.all([main(require("poundlock/http")), import("poundlock/http").then(main)]).then((statuses) =>
  console.log(...statuses),
);
