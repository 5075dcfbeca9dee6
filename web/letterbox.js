// Photo to canvas and back, as in cspn_tf/geometry.py and `letterbox` of cspn_tf/resampling.py.
//
// Integer coordinates are pixel centres: an image of width W spans -0.5 to W - 0.5.

export const PAD_VALUE = 128;

// Rows of the photo that are in memory at once: a photo of 12 megapixels takes 48 MB, more than some phones give.
const STRIP_ROWS = 256;

const f32 = Math.fround; // the transform is float32 in Python, which decides what pixels a photo covers

/**
 * Return the map from a photo to its canvas: padded to a square, then resized.
 *
 * @returns {scale, offsetX, offsetY}, with canvas = scale * photo + offset.
 */
export function letterboxTransform(height, width, size) {
  const longest = Math.max(height, width);
  const scale = f32(size / longest);
  const offset = (side) => f32(f32((Math.floor((longest - side) / 2) + 0.5) * scale) - 0.5);
  return { scale, offsetX: offset(width), offsetY: offset(height) };
}

/** Convert the transform of a photo reduced by `ratio`, see `reducedRows`, to that of the photo. */
export function transformOfWhole({ scale, offsetX, offsetY }, ratio) {
  const shift = f32(scale * f32(0.5 / ratio - 0.5));
  return { scale: f32(scale / ratio), offsetX: f32(offsetX + shift), offsetY: f32(offsetY + shift) };
}

/** Map a canvas point to the photo, and clip it to the photo's outermost pixel centres; returns [x, y]. */
export function canvasToPhoto([x, y], { scale, offsetX, offsetY }, height, width) {
  const clip = (value, side) => Math.min(Math.max(value, 0), side - 1);
  return [clip((x - offsetX) / scale, width), clip((y - offsetY) / scale, height)];
}

/**
 * Reduce a photo as the decoder of Python does with a large JPEG: to means of `ratio` x `ratio` pixels, of fewer in the
 * last row and column.
 *
 * @param readRows function of a first row and a number of rows that returns their RGBA bytes.
 * @param height of the photo, pixels.
 * @param width likewise.
 * @param ratio an integer, at least 1.
 * @returns {readRows, height, width} of the reduced photo.
 */
export function reducedRows(readRows, height, width, ratio) {
  if (ratio === 1) return { readRows, height, width };
  const reduced = { height: Math.ceil(height / ratio), width: Math.ceil(width / ratio) };
  const sums = new Uint32Array(reduced.width * 4);
  const readReduced = (first, count) => {
    const result = new Uint8Array(count * sums.length);
    for (let row = 0; row < count; row++) {
      const top = (first + row) * ratio;
      const numRows = Math.min(ratio, height - top);
      const pixels = readRows(top, numRows);
      sums.fill(0);
      for (let line = 0; line < numRows; line++) addLine(pixels, line * width * 4, width, ratio, sums);
      for (let at = 0; at < sums.length; at++) {
        const numColumns = Math.min(ratio, width - (at >> 2) * ratio);
        result[row * sums.length + at] = sums[at] / (numRows * numColumns) + 0.5;
      }
    }
    return result;
  };
  return { readRows: readReduced, ...reduced };
}

/** Add one row of RGBA pixels, from the byte `at` on, to sums of `ratio` pixels each. */
function addLine(pixels, at, width, ratio, sums) {
  for (let first = 0, to = 0; first < width; first += ratio, to += 4) {
    const end = at + Math.min(ratio, width - first) * 4;
    for (; at < end; at += 4) {
      sums[to] += pixels[at];
      sums[to + 1] += pixels[at + 1];
      sums[to + 2] += pixels[at + 2];
    }
  }
}

/**
 * Pad a photo with grey to a square, and resize the square to the canvas.
 *
 * Bilinear; an anti-aliased triangle filter if the long side of the photo is at least twice the canvas.
 *
 * @param readRows function of a first row and a number of rows that returns their RGBA bytes.
 * @param height of the photo, pixels.
 * @param width likewise.
 * @param size side of the canvas, pixels.
 * @returns Uint8Array of size * size * 3, RGB.
 */
export function letterbox(readRows, height, width, size) {
  const { scale, offsetX, offsetY } = letterboxTransform(height, width, size);
  const longest = Math.max(height, width);
  const taps = longest >= 2 * size ? triangleTaps : bilinearTaps;
  const columns = taps(width, longest, size, scale, offsetX);
  const rows = taps(height, longest, size, scale, offsetY);
  const uses = usesOf(rows, height);
  const sums = new Float32Array(size * size * 3);
  const line = new Float32Array(size * 3);
  for (let first = 0; first < height; first += STRIP_ROWS) {
    const count = Math.min(STRIP_ROWS, height - first);
    const pixels = readRows(first, count);
    for (let row = 0; row < count; row++) {
      if (!uses[first + row].length) continue;
      resampleLine(pixels, row * width * 4, columns, line);
      for (const [target, weight] of uses[first + row]) {
        const start = target * size * 3;
        for (let at = 0; at < line.length; at++) sums[start + at] += weight * line[at];
      }
    }
  }
  return withPadding(sums, rows, columns, size);
}

// An axis of the canvas is an array of its pixels: {start, weights, covered}, the first photo pixel that a canvas pixel
// is made of, the weights of that and the next ones, and the weights' sum. What is missing to 1 is padding.

function axisPixel(start, weights) {
  return { start, weights, covered: weights.reduce((total, weight) => total + weight, 0) };
}

/** As TensorFlow's ResizeBilinear with half_pixel_centers, of the padded photo. */
function bilinearTaps(side, longest, size) {
  const before = Math.floor((longest - side) / 2);
  const step = f32(longest / size);
  return Array.from({ length: size }, (_, index) => {
    const position = (index + 0.5) * step - 0.5;
    const floor = Math.floor(position);
    const lower = Math.max(floor, 0) - before;
    const upper = Math.min(Math.ceil(position), longest - 1) - before;
    const taps = [[lower, 1 - (position - floor)], [upper, position - floor]];
    const inside = taps.filter(([at]) => at >= 0 && at < side);
    return axisPixel(inside.length ? inside[0][0] : 0, spread(inside));
  });
}

/** Return the weights of up to two taps as an array from the first on: the two may be the same pixel. */
function spread(taps) {
  const weights = [];
  for (const [at, weight] of taps) weights[at - taps[0][0]] = (weights[at - taps[0][0]] ?? 0) + weight;
  return weights;
}

/** As TensorFlow's ScaleAndTranslate, anti-aliased, where the canvas pixel's centre is in the photo; else padding. */
function triangleTaps(side, longest, size, scale, offset) {
  const first = Math.ceil(f32(offset - f32(0.5 * scale)));
  const last = Math.floor(f32(offset + f32((side - 0.5) * scale)));
  const reach = 1 / scale;
  return Array.from({ length: size }, (_, index) => {
    if (index < first || index > last) return axisPixel(0, []);
    const centre = (index - offset) / scale + 0.5; // from the photo's edge, in pixels
    const clip = (value) => Math.min(Math.max(value, 0), side - 1);
    const start = clip(Math.ceil(centre - reach - 0.5));
    const end = clip(Math.floor(centre + reach - 0.5));
    const weights = [];
    for (let at = start; at <= end; at++) weights.push(Math.max(0, 1 - Math.abs(at + 0.5 - centre) * scale));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    return axisPixel(start, weights.map((weight) => weight / total));
  });
}

/** Return, for each photo row, the canvas rows that it is part of, with its weight. */
function usesOf(rows, height) {
  const uses = Array.from({ length: height }, () => []);
  rows.forEach(({ start, weights }, target) => weights.forEach((weight, at) => uses[start + at].push([target, weight])));
  return uses;
}

/** Resample one row of RGBA pixels, from the byte `from` on, into RGB floats of the canvas's width. */
function resampleLine(pixels, from, columns, line) {
  for (let column = 0; column < columns.length; column++) {
    const { start, weights } = columns[column];
    let red = 0;
    let green = 0;
    let blue = 0;
    let at = from + start * 4;
    for (let tap = 0; tap < weights.length; tap++, at += 4) {
      red += weights[tap] * pixels[at];
      green += weights[tap] * pixels[at + 1];
      blue += weights[tap] * pixels[at + 2];
    }
    line[column * 3] = red;
    line[column * 3 + 1] = green;
    line[column * 3 + 2] = blue;
  }
}

function withPadding(sums, rows, columns, size) {
  const canvas = new Uint8Array(sums.length);
  for (let row = 0, at = 0; row < size; row++) {
    for (let column = 0; column < size; column++) {
      const padding = PAD_VALUE * (1 - rows[row].covered * columns[column].covered) + 0.5;
      for (let end = at + 3; at < end; at++) canvas[at] = sums[at] + padding;
    }
  }
  return canvas;
}
