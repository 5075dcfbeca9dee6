// The TensorFlow Lite model in the browser: from a photo file to garments in photo pixels.

import { loadAndCompile, loadLiteRt, Tensor } from "@litertjs/core";

import { KEYPOINT_SLOTS } from "./garments.js";
import { canvasToPhoto, letterbox, letterboxTransform } from "./letterbox.js";

const RUNTIME = new URL("node_modules/@litertjs/core/wasm/", document.baseURI).href;
const INPUT = "image";
const OUTPUTS = ["num_garments", "boxes", "classes", "scores", "keypoints", "keypoint_scores"];
const MAX_PIXELS = 50_000_000;

// Statuses of cspn_tf/contract.py.
export const STATUS_MEANINGS = {
  0: "ok",
  1: "not a JPEG or PNG",
  2: "more pixels than the cap",
  3: "could not be decoded",
};

/** Load the runtime and a model file; returns a function of a canvas that resolves to the model's outputs. */
export async function loadModel(url) {
  // Threads need SharedArrayBuffer, which browsers give to isolated pages only: see the headers of `cspn-tf page`.
  const [response] = await Promise.all([fetch(url), loadLiteRt(RUNTIME, { threads: self.crossOriginIsolated })]);
  if (!response.ok) throw new Error(`${url} could not be loaded: ${response.status} ${response.statusText}`);
  const model = await loadAndCompile(new Uint8Array(await response.arrayBuffer()), { accelerator: "wasm" });
  const names = model.getOutputDetails().map(({ name }) => name);
  const [input] = model.getInputDetails();
  if (input.name !== INPUT || OUTPUTS.some((name) => !names.includes(name))) {
    throw new Error(`${url} is not a model from ${INPUT} to ${OUTPUTS.join(", ")}`);
  }
  const size = input.shape[1];
  const find = async (canvas) => {
    const tensor = new Tensor(canvas, [1, size, size, 3]);
    const outputs = await model.run({ [INPUT]: tensor });
    tensor.delete();
    const copies = OUTPUTS.map((name) => [name, outputs[name].toTypedArray().slice()]);
    Object.values(outputs).forEach((output) => output.delete());
    return Object.fromEntries(copies);
  };
  await find(new Uint8Array(size * size * 3).fill(128)); // the first run allocates
  return { find, size };
}

/**
 * Find the garments in one photo file.
 *
 * @param model of `loadModel`.
 * @param file a File or Blob.
 * @returns {name, status, width, height, garments, decodeMs, modelMs}; without garments and size if the status is not 0.
 */
export async function predict(model, file) {
  const started = performance.now();
  const failed = (status) => ({ name: file.name, status, width: 0, height: 0, garments: [], decodeMs: 0, modelMs: 0 });
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image", colorSpaceConversion: "none" });
  } catch {
    return failed((await isJpegOrPng(file)) ? 3 : 1);
  }
  const { width, height } = bitmap;
  if (width * height > MAX_PIXELS) {
    bitmap.close();
    return failed(2);
  }
  const canvas = letterbox(rowReader(bitmap), height, width, model.size);
  bitmap.close();
  const prepared = performance.now();
  const outputs = await model.find(canvas);
  const garments = garmentsOnPhoto(outputs, letterboxTransform(height, width, model.size), height, width);
  const times = { decodeMs: prepared - started, modelMs: performance.now() - prepared };
  return { name: file.name, status: 0, width, height, garments, ...times };
}

/** Return the garments of a model's outputs: {type, score, box, points, pointScores}, in photo pixels. */
export function garmentsOnPhoto(outputs, transform, height, width) {
  const toPhoto = (values, at) => canvasToPhoto([values[at], values[at + 1]], transform, height, width);
  return Array.from({ length: outputs.num_garments[0] }, (_, row) => {
    const type = outputs.classes[row];
    const has = (slot) => KEYPOINT_SLOTS[type].includes(slot);
    return {
      type,
      score: outputs.scores[row],
      box: [...toPhoto(outputs.boxes, row * 4), ...toPhoto(outputs.boxes, row * 4 + 2)],
      points: Array.from({ length: 8 }, (_, slot) =>
        has(slot) ? toPhoto(outputs.keypoints, (row * 8 + slot) * 2) : [0, 0],
      ),
      pointScores: Array.from({ length: 8 }, (_, slot) => (has(slot) ? outputs.keypoint_scores[row * 8 + slot] : 0)),
    };
  });
}

/** Return a function that reads rows of a bitmap as RGBA, through a canvas no higher than the rows. */
function rowReader(bitmap) {
  let context;
  return (first, count) => {
    if (context?.canvas.height !== count) {
      const canvas = Object.assign(document.createElement("canvas"), { width: bitmap.width, height: count });
      context = canvas.getContext("2d", { alpha: false, willReadFrequently: true });
    }
    context.fillStyle = "white"; // shows through transparent pixels, as in Python
    context.fillRect(0, 0, bitmap.width, count);
    context.drawImage(bitmap, 0, -first);
    return context.getImageData(0, 0, bitmap.width, count).data;
  };
}

async function isJpegOrPng(file) {
  const [first, second, third] = new Uint8Array(await file.slice(0, 4).arrayBuffer());
  return (first === 0xff && second === 0xd8 && third === 0xff) || (first === 0x89 && second === 0x50 && third === 0x4e);
}
