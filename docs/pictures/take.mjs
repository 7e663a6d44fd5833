// Takes the pictures of the tour from a running stack: `cargo demo --ui` in one terminal; in another
//
//   npm install --no-save playwright-core
//   node docs/pictures/take.mjs ORDERS_URL KAFKA_UI_URL [CHROMIUM]
//
// The addresses are those that the demo shows. Writes PNG files beside this script.

import { LIMIT, launch, picture } from "./browser.mjs";

const [orders, kafkaUi, executablePath] = process.argv.slice(2);
if (!kafkaUi) {
  console.error("usage: node docs/pictures/take.mjs ORDERS_URL KAFKA_UI_URL [CHROMIUM]");
  process.exit(2);
}

/// A terminal in a page draws on a canvas: it is ready when two pictures of it are the same.
async function settled(page) {
  const deadline = Date.now() + LIMIT;
  let before = null;
  while (Date.now() < deadline) {
    const now = await page.screenshot();
    if (before && now.equals(before) && now.length > 20_000) return;
    before = now;
    await page.waitForTimeout(1_500);
  }
  throw new Error(`${page.url()} does not come to rest`);
}

async function terminal(browser, url, name, steps = []) {
  const page = await browser.newPage({ viewport: { width: 1280, height: 720 } });
  await page.goto(new URL(url, kafkaUi).href, { timeout: LIMIT });
  await settled(page);
  for (const step of steps) {
    await (typeof step === "string" ? page.keyboard.press(step) : page.mouse.click(...step));
    await settled(page);
  }
  await picture(page, name);
  await page.close();
}

const browser = await launch(executablePath);
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 1000 } });
  await page.goto(new URL("/swagger-ui/", orders).href, { timeout: LIMIT });
  await page.locator(".opblock").first().waitFor({ timeout: LIMIT });
  await picture(page, "swagger-ui");
  await terminal(browser, "/cluster/", "kafka-topics");
  await terminal(browser, "/topics/order-cancelled/", "kafka-messages");
  await terminal(browser, "/topics/order-cancelled/", "kafka-message", [[140, 105], "Enter", [193, 161]]);
} finally {
  await browser.close();
}
