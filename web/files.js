// The files that `cspn-tf predict` writes, predictions.jsonl and predictions.csv: see cspn_tf/result.py, cli/answers.py.

import { GARMENT_TYPE_NAMES, KEYPOINT_NAMES, KEYPOINT_SLOTS } from "./garments.js";
import { LENGTHS, lengthsOf } from "./lengths.js";
import { STATUS_MEANINGS } from "./photo-file.js";

/** Round as Python does: to even if the number lies in the middle, which `toFixed` rounds up. */
export function rounded(value, digits) {
  const isMiddle = Math.abs(value * 2 ** (digits + 1)) % 2 === 1;
  if (!isMiddle) return Number(value.toFixed(digits));
  const below = Math.floor(value * 10 ** digits);
  return (below % 2 === 0 ? below : below + 1) / 10 ** digits;
}

/** Return results as one line of JSON per photo. */
export function toJsonLines(results) {
  return results.map((result) => `${JSON.stringify(resultDict(result))}\n`).join("");
}

function resultDict({ name, status, width, height, garments }) {
  return {
    photo: name,
    status: { code: status, meaning: STATUS_MEANINGS[status] },
    image_size: { height, width },
    garments: garments.map(garmentDict),
  };
}

function garmentDict({ type, score, box, points, pointScores }) {
  const keypoint = (slot) => ({
    x: rounded(points[slot][0], 2),
    y: rounded(points[slot][1], 2),
    score: rounded(pointScores[slot], 4),
  });
  return {
    type: GARMENT_TYPE_NAMES[type],
    class_id: type,
    score: rounded(score, 4),
    box_xyxy: box.map((value) => rounded(value, 2)),
    keypoints: Object.fromEntries(KEYPOINT_SLOTS[type].map((slot) => [KEYPOINT_NAMES[slot], keypoint(slot)])),
  };
}

/** Return results as a table with one row per garment; with centimetres if any photo has a scale, `cmPerPixel`. */
export function toCsv(results) {
  const units = results.some(({ cmPerPixel }) => cmPerPixel) ? ["pixels", "cm"] : ["pixels"];
  const columns = [
    ...["photo", "status", "width", "height", "type", "score", "x_min", "y_min", "x_max", "y_max"],
    ...KEYPOINT_NAMES.flatMap((name) => ["x", "y", "score"].map((value) => `${name}_${value}`)),
    ...Object.keys(LENGTHS).flatMap((name) => units.flatMap((unit) => ["", "_sd"].map((sd) => `${name}_${unit}${sd}`))),
  ];
  const rows = results.flatMap((result) => {
    const photo = { photo: result.name, status: result.status, width: result.width, height: result.height };
    if (!result.garments.length) return [photo];
    return result.garments.map((garment) => ({ ...photo, ...csvRow(garment, result.cmPerPixel ?? null) }));
  });
  return [columns, ...rows.map((row) => columns.map((column) => row[column] ?? ""))]
    .map((cells) => `${cells.map(quoted).join(",")}\n`)
    .join("");
}

function csvRow(garment, cmPerPixel) {
  const { type, score, box_xyxy, keypoints } = garmentDict(garment);
  const row = { type, score };
  ["x_min", "y_min", "x_max", "y_max"].forEach((name, at) => (row[name] = box_xyxy[at]));
  for (const [name, point] of Object.entries(keypoints)) {
    for (const [value, number] of Object.entries(point)) row[`${name}_${value}`] = number;
  }
  for (const { name, missing, ...numbers } of lengthsOf(garment, cmPerPixel)) {
    for (const [unit, value] of Object.entries(numbers)) {
      if (value !== null) row[`${name}_${unit}`] = rounded(value, 2);
    }
  }
  return row;
}

function quoted(cell) {
  const text = String(cell);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Let the browser save a text as a file. */
export function save(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = Object.assign(document.createElement("a"), { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
