// Takes the picture of the demo from what it prints:
//
//   npm install --no-save playwright-core
//   cargo demo --once | node docs/pictures/take-demo.mjs [CHROMIUM]
//
// Writes demo.png beside this script.

import { text } from "node:stream/consumers";
import { LIMIT, launch, picture } from "./browser.mjs";

const [executablePath] = process.argv.slice(2);

const escaped = (line) => line.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
const coloured = (line) =>
  line
    .replace(/(✔|✘)/g, '<b class="sign">$1</b>')
    .replace(/( )confirmed(?=,|  )/g, '$1<b class="well">confirmed</b>')
    .replace(/( )cancelled(?= \(|  )/g, '$1<b class="ended">cancelled</b>')
    .replace(/→/g, '<span class="faint">→</span>')
    .replace(/(https?:\/\/\S+)/g, '<span class="address">$1</span>');

/// From "Starting …" to the summary: what a person sees first.
function shown(output) {
  const lines = output.split("\n");
  const from = lines.findIndex((line) => line.startsWith("Starting"));
  const to = lines.findIndex((line) => line.startsWith("Look around"));
  return ["$ cargo demo", ...lines.slice(from, to < 0 ? undefined : to)].join("\n").trimEnd();
}

const html = (body) => `<!doctype html><meta charset="utf-8"><style>
  body { margin: 0; background: #1c1f26; display: inline-block }
  pre { margin: 24px 28px; color: #d7dae0; font: 15px/1.45 "DejaVu Sans Mono", monospace }
  .sign, .well { color: #98c379 } .ended { color: #e5c07b } .faint { color: #6b7280 } .address { color: #61afef }
</style><pre>${body}</pre>`;

const browser = await launch(executablePath);
try {
  const page = await browser.newPage({ viewport: { width: 1400, height: 100 }, deviceScaleFactor: 1.5 });
  page.setDefaultTimeout(LIMIT);
  await page.setContent(html(coloured(escaped(shown(await text(process.stdin))))));
  const box = await page.locator("body").boundingBox();
  await page.setViewportSize({ width: Math.ceil(box.width), height: Math.ceil(box.height) });
  await picture(page, "demo");
} finally {
  await browser.close();
}
