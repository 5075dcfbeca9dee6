// The TensorFlow Lite model in the browser: from a photo file to garments in photo pixels. Used by model-worker.js.

import { KEYPOINT_SLOTS } from "./garments.js";
import { canvasToPhoto, letterbox, letterboxTransform, reducedRows, transformOfWhole } from "./letterbox.js";
import { decodingRatio, MAX_PIXELS, NOT_A_PHOTO, OK, readHeader, TOO_LARGE, UNDECODABLE } from "./photo-file.js";

const INPUT = "image";
const OUTPUTS = ["num_garments", "boxes", "classes", "scores", "keypoints", "keypoint_scores"];

/**
 * Load the runtime and a model file.
 *
 * @param litert the module of LiteRT.js.
 * @param wasm folder of its WebAssembly, an address that ends with a slash.
 * @param url the model's address.
 * @returns {find, size}: a function of a canvas that resolves to the model's outputs, and the canvas's side.
 */
export async function loadModel({ loadAndCompile, loadLiteRt, Tensor }, wasm, url) {
  // Threads need SharedArrayBuffer, which browsers give to isolated pages only: see the headers of `cspn-tf page`.
  const [response] = await Promise.all([fetch(url), loadLiteRt(wasm, { threads: self.crossOriginIsolated })]);
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
  const header = readHeader(new Uint8Array(await contentOf(file)));
  if (header.status !== OK) return failed(header.status);
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image", colorSpaceConversion: "none" });
  } catch {
    return failed(header.format ? UNDECODABLE : NOT_A_PHOTO);
  }
  const { width, height } = bitmap;
  if (width * height > MAX_PIXELS) {
    bitmap.close();
    return failed(TOO_LARGE);
  }
  const ratio = decodingRatio(header, height, width, model.size);
  const reduced = reducedRows(rowReader(bitmap), height, width, ratio);
  const canvas = letterbox(reduced.readRows, reduced.height, reduced.width, model.size);
  bitmap.close();
  const transform = transformOfWhole(letterboxTransform(reduced.height, reduced.width, model.size), ratio);
  const prepared = performance.now();
  const outputs = await model.find(canvas);
  const garments = garmentsOnPhoto(outputs, transform, height, width);
  const times = { decodeMs: prepared - started, modelMs: performance.now() - prepared };
  return { name: file.name, status: 0, width, height, garments, ...times };
}

async function contentOf(file) {
  try {
    return await file.arrayBuffer();
  } catch {
    throw new Error("could not be read: it is a folder, or is no longer there");
  }
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
      const canvas = new OffscreenCanvas(bitmap.width, count);
      context = canvas.getContext("2d", { alpha: false, willReadFrequently: true });
    }
    context.fillStyle = "white"; // shows through transparent pixels, as in Python
    context.fillRect(0, 0, bitmap.width, count);
    context.drawImage(bitmap, 0, -first);
    return context.getImageData(0, 0, bitmap.width, count).data;
  };
}
