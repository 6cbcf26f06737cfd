import { catalogRoutes } from "./catalog.ts";
import { deliveryRoutes } from "./deliveries.ts";
import { polled } from "./etag.ts";
import { failureBatchRoutes } from "./failure-batches.ts";
import { failureRoutes } from "./failures.ts";
import { flowRoutes } from "./flows.ts";
import type { Route } from "./route.ts";
import { runRoutes } from "./runs.ts";
import { scheduleRoutes } from "./schedules.ts";
import { serviceRoutes } from "./service.ts";
import { totalsRoutes } from "./totals.ts";

/** What pages read again and again while somebody looks at them. */
const polledPaths: ReadonlySet<string> = new Set([
  "/flows",
  "/overview",
  "/statistics",
  "/flows/{_id}/deliveries",
  "/flows/{_id}/inbox",
  "/runs",
  "/runs/{_id}",
  "/failures",
  "/causes",
]);

/** Every route, in the order of the manual. */
export const routes: readonly Route[] = [
  ...flowRoutes,
  ...totalsRoutes,
  ...scheduleRoutes,
  ...deliveryRoutes,
  ...runRoutes,
  ...failureRoutes,
  ...failureBatchRoutes,
  ...catalogRoutes,
  ...serviceRoutes,
].map((route) => (route.method === "GET" && polledPaths.has(route.path) ? polled(route) : route));
