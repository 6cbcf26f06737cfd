import type { PageSettings } from "../../page-settings.ts";

/** What `createDashboard` was given for this page. */
export const settings: PageSettings = JSON.parse(
  document.querySelector<HTMLMetaElement>('meta[name="poundlock"]')?.content ?? "{}",
) as PageSettings;
