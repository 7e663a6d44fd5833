// What every script in this folder needs: a browser, and a picture beside the scripts.

import { chromium } from "playwright-core";
import { fileURLToPath } from "node:url";
import path from "node:path";

/// No page may take longer, in milliseconds.
export const LIMIT = 60_000;
const folder = path.dirname(fileURLToPath(import.meta.url));

export function launch(executablePath = "/usr/bin/chromium") {
  return chromium.launch({
    executablePath,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync"],
  });
}

export async function picture(page, name) {
  await page.screenshot({ path: path.join(folder, `${name}.png`) });
  console.log(`${name}.png`);
}
