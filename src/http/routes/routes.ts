import { endRoutes } from "./catalog.ts";
import { failureRoutes } from "./failures.ts";
import { flowRoutes } from "./flows.ts";
import type { Route } from "./route.ts";
import { runRoutes } from "./runs.ts";
import { watchRoutes } from "./events.ts";

/** Every route there is, in the order of the manual. */
export const routes: readonly Route[] = [...flowRoutes, ...runRoutes, ...failureRoutes, ...endRoutes, ...watchRoutes];
