// Print the headers of photo files as JSON: node headers.mjs FILE...

import fs from "node:fs";

import { readHeader } from "../photo-file.js";

console.log(JSON.stringify(process.argv.slice(2).map((file) => readHeader(fs.readFileSync(file)))));
