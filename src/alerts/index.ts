export type { Alert, AlertCheckpoint, AlertKind, AlertState, Incident } from "./alert.ts";
export { alerts } from "./alerts.ts";
export type { AlertOptions, AlertSource } from "./options.ts";
