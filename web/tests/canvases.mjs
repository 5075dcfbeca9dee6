// Give photos to the page, and save its answers as JSON lines: see tests/runtimes/test_runtimes.py.
//
//     node canvases.mjs CHROMIUM URL OUT PHOTO...

import { chromium } from "playwright-core";

const [executablePath, url, out, ...photos] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath, args: ["--disable-gpu", "--no-sandbox"] });
const page = await browser.newPage();
page.setDefaultTimeout(450_000);
await page.goto(url);
await page.waitForFunction(() => document.getElementById("status").textContent === "Ready.");
await page.setInputFiles("#files", photos);
await page.waitForFunction((count) => document.querySelectorAll(".card").length === count, photos.length);
const [download] = await Promise.all([page.waitForEvent("download"), page.click("#save-json")]);
await download.saveAs(out);
await browser.close();
