// Letterbox raw RGBA pixels, and write the canvas: node letterbox.mjs PIXELS HEIGHT WIDTH SIZE CANVAS.

import fs from "node:fs";

import { letterbox } from "../letterbox.js";

const [pixels, height, width, size, canvas] = process.argv.slice(2);
const data = fs.readFileSync(pixels);
const readRows = (first, count) => data.subarray(first * width * 4, (first + count) * width * 4);
fs.writeFileSync(canvas, letterbox(readRows, Number(height), Number(width), Number(size)));
