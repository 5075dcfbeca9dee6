// Use the page as a person would, in headless Chromium, and print what came of it as JSON: see tests/web/test_page.py.
//
//     node page.mjs CHROMIUM URL SERVER_PID OUT PHOTO...
//
// The first photo gets a scale: a line dragged over its middle half is said to be 50 cm long. At last the server is
// stopped, and the page used without it.

import fs from "node:fs";
import path from "node:path";

import { chromium } from "playwright-core";

const [executablePath, url, serverPid, out, ...photos] = process.argv.slice(2);
const TIMEOUT = 120_000;
const QUIET = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"];
const ALONE = ["--no-sandbox", "--disable-component-update", "--disable-sync"];
const CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"];

const browser = await chromium.launch({ executablePath, args: [...QUIET, ...ALONE, ...CAMERA] });
const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
page.setDefaultTimeout(TIMEOUT);
const requests = new Set();
const faults = [];
page.context().on("request", (request) => requests.add(`${request.method()} ${request.url()}`));
page.on("pageerror", (error) => faults.push(String(error)));

const ready = () => page.waitForFunction(() => document.getElementById("status").textContent === "Ready.");
const cards = (count) => page.waitForFunction((n) => document.querySelectorAll(".card").length === n, count);
const texts = (selector) => page.$$eval(selector, (elements) => elements.map((element) => element.textContent));
const drop = async (file) => {
  const content = fs.readFileSync(file).toString("base64");
  const dropped = await page.evaluateHandle(
    ([name, base64]) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))], name));
      return transfer;
    },
    [path.basename(file), content],
  );
  await page.dispatchEvent("#drop", "drop", { dataTransfer: dropped });
};
const fits = () => page.evaluate(() => document.documentElement.scrollWidth <= innerWidth);

await page.goto(url);
await ready();
const isolated = await page.evaluate(() => crossOriginIsolated);
const worker = page.workers()[0]?.url();
await page.setInputFiles("#files", photos);
await cards(photos.length);
const found = {
  status: await page.textContent("#status"),
  times: await texts(".card-head .hint"),
  faults: await texts(".card .fault"),
  captions: await texts("caption"),
  drawn: await page.$$eval(".drawing circle:not(.handle)", (circles) => circles.length),
};

// A scale, by the mouse; then the second photo's by keys.
const drawing = page.locator(".drawing").first();
await drawing.scrollIntoViewIfNeeded();
const { x, y, width, height } = await drawing.boundingBox();
await page.mouse.move(x + width / 4, y + height / 2);
await page.mouse.down();
await page.mouse.move(x + (width * 3) / 4, y + height / 2, { steps: 5 });
await page.mouse.up();
await page.locator(".scale-form input").first().fill("50");
const scale = { dragged: await page.locator(".scale-form [role=status]").first().textContent() };
for (const [file, button] of [["predictions.jsonl", "#save-json"], ["predictions.csv", "#save-csv"]]) {
  const [download] = await Promise.all([page.waitForEvent("download"), page.click(button)]);
  if (download.suggestedFilename() !== file) throw new Error(`saved as ${download.suggestedFilename()}`);
  await download.saveAs(path.join(out, file));
}
const form = page.locator(".scale-form").nth(1);
await form.getByRole("button", { name: "Place a line" }).focus();
await page.keyboard.press("Enter");
scale.placed = await form.getByRole("status").textContent();
await page.keyboard.press("Shift+ArrowRight");
scale.moved = await form.getByRole("status").textContent();
await page.locator(".scale-form").first().getByRole("button", { name: "Use for all photos" }).click();
scale.shared = await form.getByRole("status").textContent();
await page.screenshot({ path: path.join(out, "desktop.png"), fullPage: true });

// A phone's width.
await page.setViewportSize({ width: 360, height: 740 });
const fitsPhone = await fits();
await page.screenshot({ path: path.join(out, "phone.png"), fullPage: true });

// The camera, and then no server.
await page.click("#camera");
await page.waitForFunction(() => document.getElementById("video").videoWidth > 0);
await page.click("#take");
await cards(photos.length + 1);
const camera = (await texts(".card h2")).at(-1);
await page.click("#clear");
const left = await page.locator(".card").count();

await page.waitForFunction(() => document.getElementById("offline").textContent);
process.kill(Number(serverPid));
while (await fetch(url).then(() => true, () => false)) await page.waitForTimeout(100);
await page.goto(`${url}index.html?again`);
await ready();
await drop(photos[0]);
await cards(1);
const offline = await page.textContent("#status");

// A file that is gone before its turn comes.
const gone = path.join(out, "gone.png");
fs.copyFileSync(photos[0], gone);
await page.setInputFiles("#files", [photos[0], gone]);
fs.unlinkSync(gone);
await page.waitForFunction(() => document.getElementById("fault").textContent);
const unread = { fault: await page.textContent("#fault"), status: await page.textContent("#status") };
await browser.close();

console.log(JSON.stringify({ isolated, worker, found, scale, fitsPhone, camera, left, offline, unread, requests: [...requests], faults }));
