// What the bytes of a photo file say before it is decoded, and how Python would decode it: see cspn_tf/decoding.py.
//
// A file that was cut off is refused here, as in Python, whatever a browser would show of it: keypoints in the missing
// part would be guesses. Files that are neither JPEG nor PNG are left to the browser.

// Statuses of cspn_tf/contract.py.
export const STATUS_MEANINGS = {
  0: "ok",
  1: "not a JPEG or PNG",
  2: "more pixels than the cap",
  3: "could not be decoded",
};
export const OK = 0;
export const NOT_A_PHOTO = 1;
export const TOO_LARGE = 2;
export const UNDECODABLE = 3;

export const MAX_PIXELS = 50_000_000;
const PNG_PIXEL_COST = 2;

const JPEG_MAGIC = "\xff\xd8\xff";
const PNG_MAGIC = "\x89PNG\r\n\x1a\n";
const PNG_END = "\0\0\0\0IEND\xaeB`\x82";
const EXIF_NAME = "Exif\0\0";

/**
 * Read a photo file's header.
 *
 * @param bytes the file, Uint8Array.
 * @returns {format, status, orientation}: "jpeg", "png" or null; a status other than 0 if it is not to be decoded; the
 *   EXIF orientation of a JPEG, else 1.
 */
export function readHeader(bytes) {
  if (textAt(bytes, 0, 8) === PNG_MAGIC) return { format: "png", status: pngStatus(bytes), orientation: 1 };
  if (textAt(bytes, 0, 3) !== JPEG_MAGIC) return { format: null, status: OK, orientation: 1 };
  const { numPixels, orientation, hasEnd } = readJpeg(bytes);
  const status = !numPixels || !hasEnd ? UNDECODABLE : numPixels > MAX_PIXELS ? TOO_LARGE : OK;
  return { format: "jpeg", status, orientation };
}

/** Return by how much Python reduces a photo while it decodes it: a JPEG by 1, 2, 4 or 8, others by 1. */
export function decodingRatio({ format, orientation }, height, width, size) {
  if (format !== "jpeg") return 1;
  const ratio = [8, 4, 2].find((ratio) => Math.max(height, width) >= size * ratio) ?? 1;
  const isWhole = height % ratio === 0 && width % ratio === 0;
  return orientation === 1 || isWhole ? ratio : 1;
}

function pngStatus(bytes) {
  if (bytes.length < 33 || !holdsPngEnd(bytes)) return UNDECODABLE;
  const view = viewOf(bytes);
  return view.getUint32(16) * view.getUint32(20) * PNG_PIXEL_COST > MAX_PIXELS ? TOO_LARGE : OK;
}

/** Whether a PNG has its end; other bytes may follow. */
function holdsPngEnd(bytes) {
  const I = 0x49;
  for (let at = bytes.lastIndexOf(I); at > 4; at = bytes.lastIndexOf(I, at - 1)) {
    if (textAt(bytes, at - 4, 12) === PNG_END) return true;
  }
  return false;
}

/** Walk over a JPEG's segments to its picture data; whatever they hold, it does not fail. */
function readJpeg(bytes) {
  const view = viewOf(bytes);
  let [numPixels, orientation, at, marker] = [0, 1, 2, 0];
  while (marker !== 0xda && at + 9 < bytes.length && bytes[at] === 0xff) {
    marker = bytes[at + 1];
    if (marker === 0xff) {
      at += 1; // padding between segments
      continue;
    }
    // SOF0 to SOF15; C4, C8 and CC are other segments.
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (isFrame) numPixels = view.getUint16(at + 5) * view.getUint16(at + 7);
    const isExif = marker === 0xe1 && textAt(bytes, at + 4, 6) === EXIF_NAME;
    if (isExif) orientation = exifOrientation(bytes.subarray(at + 10));
    at += 2 + view.getUint16(at + 2);
  }
  // The end's marker cannot occur within picture data.
  return { numPixels, orientation, hasEnd: marker === 0xda && holdsEnd(bytes, at) };
}

function holdsEnd(bytes, from) {
  for (let at = bytes.indexOf(0xff, from); at >= 0; at = bytes.indexOf(0xff, at + 1)) {
    if (bytes[at + 1] === 0xd9) return true;
  }
  return false;
}

/** Return the orientation of an EXIF block, 1 to 8; 1 if it has none, or another number. */
function exifOrientation(block) {
  const view = viewOf(block);
  const isLittle = textAt(block, 0, 2) === "II";
  try {
    const directory = view.getUint32(4, isLittle);
    const numEntries = view.getUint16(directory, isLittle);
    for (let entry = directory + 2; entry < directory + 2 + numEntries * 12; entry += 12) {
      if (view.getUint16(entry, isLittle) !== 0x0112) continue;
      const isLong = view.getUint16(entry + 2, isLittle) === 4;
      const orientation = isLong ? view.getUint32(entry + 8, isLittle) : view.getUint16(entry + 8, isLittle);
      return orientation >= 1 && orientation <= 8 ? orientation : 1;
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // a place beyond the block
  }
  return 1;
}

function viewOf(bytes) {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function textAt(bytes, at, length) {
  return String.fromCharCode(...bytes.subarray(at, at + length));
}
