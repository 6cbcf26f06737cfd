// An API with pages of orders, for http-read-cases.ts: the bodies are made once, so that it costs next to nothing.
//
//   node shop-server.mjs PAGES SIZE
import { createServer } from "node:http";

const [pages, size] = process.argv.slice(2).map(Number);
const bodies = Array.from({ length: pages }, (_, page) => {
  const orders = Array.from({ length: size }, (_, nth) => ({
    id: `order-${page * size + nth}`,
    customer: `customer number ${nth}`,
    total: (nth * 7) % 1_000,
    updatedAt: new Date(1_767_225_600_000 + (page * size + nth) * 1_000).toISOString(),
  }));
  return Buffer.from(JSON.stringify({ orders, next: page + 1 < pages ? page + 1 : null }));
});

const server = createServer(({ url }, response) => {
  const cursor = Number(new URL(url, "http://localhost").searchParams.get("cursor") ?? 0);
  const body = bodies[cursor];
  response.writeHead(200, { "content-type": "application/json", "content-length": body.length }).end(body);
});
server.listen(0, "127.0.0.1", () => process.send(server.address().port));
process.on("disconnect", () => process.exit());
