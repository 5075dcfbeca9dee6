// Letterbox raw RGBA pixels, and write the canvas: node letterbox.mjs PIXELS HEIGHT WIDTH SIZE CANVAS [JPEG]. With the
// file that the pixels are of, as the page does with such a file. Prints the transform.

import fs from "node:fs";

import { letterbox, letterboxTransform, reducedRows, transformOfWhole } from "../letterbox.js";
import { decodingRatio, readHeader } from "../photo-file.js";

const [pixels, canvas, jpeg] = [2, 6, 7].map((at) => process.argv[at]);
const [height, width, size] = process.argv.slice(3, 6).map(Number);
const data = fs.readFileSync(pixels);
const readRows = (first, count) => data.subarray(first * width * 4, (first + count) * width * 4);
const ratio = jpeg ? decodingRatio(readHeader(fs.readFileSync(jpeg)), height, width, size) : 1;
const reduced = reducedRows(readRows, height, width, ratio);
fs.writeFileSync(canvas, letterbox(reduced.readRows, reduced.height, reduced.width, size));
const transform = transformOfWhole(letterboxTransform(reduced.height, reduced.width, size), ratio);
console.log(JSON.stringify({ ratio, ...transform }));
