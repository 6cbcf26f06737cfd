import { buildAssets } from "./build-assets.ts";

/** The files of the page: strings in a module, as bundlers and serverless hosts lose files that are beside one. */
export interface Assets {
  /** Name, which changes with the contents → contents. */
  readonly files: Readonly<Record<string, string>>;
  /** Name of the script that the page begins with. */
  readonly script: string;
  /** Name of the style sheet. */
  readonly style: string;
}

/** In the package the plugin `dashboard:assets` has put strings here; from the sources the page is built as it is imported. */
export const assets: Assets = await buildAssets();
