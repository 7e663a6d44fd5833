// Takes the pictures of Kafka UI: after `docker compose up --wait` and the tour's orders, the poisoned one included,
//
//   npm install --no-save playwright-core
//   node docs/pictures/take-compose.mjs [KAFKA_UI_URL] [CHROMIUM]
//
// Writes PNG files beside this script.

import { LIMIT, launch, picture } from "./browser.mjs";

const [kafkaUi = "http://127.0.0.1:8080", executablePath] = process.argv.slice(2);
const cluster = "/ui/clusters/saga";

async function look(browser, address, name, steps = async () => {}) {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  await page.goto(new URL(cluster + address, kafkaUi).href, { timeout: LIMIT });
  await page.locator("tbody tr").first().waitFor({ timeout: LIMIT });
  await steps(page);
  await page.waitForLoadState("networkidle", { timeout: LIMIT });
  await picture(page, name);
  await page.close();
}

/// Opens the newest message and one side of it.
const opened = (side) => async (page) => {
  await page.locator("tbody tr").first().locator("td > *").first().click();
  await page.getByRole("button", { name: side, exact: true }).click();
};

const browser = await launch(executablePath);
try {
  await look(browser, "/all-topics?perPage=25&hideInternal=true", "ui-topics", async (page) => {
    await page.getByText("order-placed", { exact: true }).waitFor({ timeout: LIMIT });
  });
  await look(browser, "/all-topics/order-cancelled/messages?mode=LATEST", "ui-message", opened("Value"));
  await look(browser, "/all-topics/order-service.dlq/messages?mode=LATEST", "ui-dead-letter", opened("Headers"));
} finally {
  await browser.close();
}
