// Print numbers rounded: node rounded.mjs DIGITS NUMBER...

import { rounded } from "../files.js";

const [digits, ...values] = process.argv.slice(2).map(Number);
console.log(JSON.stringify(values.map((value) => rounded(value, digits))));
