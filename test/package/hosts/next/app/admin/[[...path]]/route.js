import { createDashboard } from "poundlock/dashboard";

const dashboard = createDashboard({ api: "/api", basePath: "/admin" });

export { dashboard as GET };
