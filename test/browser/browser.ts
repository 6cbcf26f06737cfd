import { mkdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BrowserServer, chromium as playwright } from "playwright-core";

/** The package's own arguments would turn off what is tested here: `--disable-web-security`, and one process for all. */
const args = ["--no-sandbox", "--disable-gpu"];

/** A browser with what has to be done when it is not needed any more. */
export interface StartedBrowser {
  readonly server: BrowserServer;
  readonly close: () => Promise<void>;
}

/** Starts what `PLAYWRIGHT_CHROMIUM` names, or the browser that comes from npm. */
export async function startBrowser(): Promise<StartedBrowser> {
  const given = process.env.PLAYWRIGHT_CHROMIUM;
  if (given !== undefined) {
    const server = await playwright.launchServer({ executablePath: given, args });
    return { server, close: () => server.close() };
  }
  // It would use `chromium` in there, whatever its version.
  const folder = join(tmpdir(), `poundlock-chromium-${process.pid}`);
  await mkdir(folder, { recursive: true });
  try {
    const server = await playwright.launchServer({ ...(await unpackedIn(folder)), args });
    const close = async () => {
      await server.close();
      await rm(folder, { recursive: true, force: true });
    };
    return { server, close };
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

/** Unpacks the browser, the libraries that a small machine lacks, and its fonts, which it would look for elsewhere. */
async function unpackedIn(folder: string) {
  const { TMPDIR } = process.env;
  process.env.AWS_EXECUTION_ENV = "AWS_Lambda_nodejs20.x";
  process.env.TMPDIR = folder;
  try {
    const { default: chromium } = await import("@sparticuz/chromium");
    const executablePath = await chromium.executablePath();
    const fonts = join(folder, "fonts.conf");
    await writeFile(fonts, fontsIn(folder));
    return { executablePath, env: { ...process.env, FONTCONFIG_FILE: fonts } as Record<string, string> };
  } finally {
    if (TMPDIR === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = TMPDIR;
    delete process.env.AWS_EXECUTION_ENV;
  }
}

// Without a font that it finds, the browser ends at the first field of a form.
function fontsIn(folder: string): string {
  const preferred = ["system-ui", "sans-serif"]
    .map((family) => `<alias><family>${family}</family><prefer><family>Open Sans</family></prefer></alias>`)
    .join("");
  const places = [`${folder}/fonts`, "/usr/share/fonts"].map((place) => `<dir>${place}</dir>`).join("");
  return `<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>${places}<cachedir>${folder}/fonts-cache</cachedir>${preferred}</fontconfig>`;
}
