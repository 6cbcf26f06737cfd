export { createDashboard } from "./dashboard.ts";
export { type DashboardOptions, type ThemeColors } from "./options.ts";
