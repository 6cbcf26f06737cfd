import { endRoutes } from "./end-routes.ts";
import { failureRoutes } from "./failure-routes.ts";
import { flowRoutes } from "./flow-routes.ts";
import type { Route } from "./route.ts";
import { runRoutes } from "./run-routes.ts";
import { watchRoutes } from "./watch-routes.ts";

/** Every route there is, in the order of the manual. */
export const routes: readonly Route[] = [...flowRoutes, ...runRoutes, ...failureRoutes, ...endRoutes, ...watchRoutes];
