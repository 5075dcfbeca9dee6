// Lengths of a garment from its keypoints, as in cspn_tf/lengths.py; a test compares the tables and the numbers.

import { KEYPOINT_ABBREVIATIONS, KEYPOINT_NAMES, KEYPOINT_SLOTS } from "./garments.js";

// Name → its two ends, each the mean of the listed keypoints.
export const LENGTHS = {
  collar_width: [["LC"], ["RC"]],
  left_shoulder_to_cuff: [["LC"], ["LS"]],
  right_shoulder_to_cuff: [["RC"], ["RS"]],
  body_length: [["LC", "RC"], ["LH", "RH"]],
  waist_width: [["LW"], ["RW"]],
  hem_width: [["LH"], ["RH"]],
  left_outseam: [["LW"], ["LH"]],
  right_outseam: [["RW"], ["RH"]],
};
export const LENGTHS_OF_TYPE = [
  [],
  ["collar_width", "left_shoulder_to_cuff", "right_shoulder_to_cuff", "body_length", "hem_width"],
  ["waist_width", "hem_width", "left_outseam", "right_outseam"],
  ["collar_width", "left_shoulder_to_cuff", "right_shoulder_to_cuff", "body_length", "waist_width", "hem_width"],
];

// Keypoints with a lower score are not used.
export const MIN_VISIBLE = 0.5;

// Standard deviation of a keypoint's error along one axis, as a fraction of the long side of the garment's box, by type.
export const KEYPOINT_SDS = [
  [],
  [0.014, 0.016, 0.017, 0.014, 0.0, 0.0, 0.01, 0.015],
  [0.0, 0.0, 0.0, 0.0, 0.013, 0.008, 0.009, 0.008],
  [0.014, 0.014, 0.013, 0.013, 0.02, 0.021, 0.012, 0.011],
];

/**
 * Measure the lengths of one garment.
 *
 * @param garment of `garmentsOnPhoto`.
 * @param cmPerPixel scale of the photo at the garment's distance; or null.
 * @returns an array of {name, pixels, pixels_sd, cm, cm_sd, missing}: numbers are null if unknown, and `missing` names
 *     the keypoints for want of which the length is not measurable.
 */
export function lengthsOf(garment, cmPerPixel = null) {
  const [xMin, yMin, xMax, yMax] = garment.box;
  const side = Math.max(xMax - xMin, yMax - yMin);
  const sds = KEYPOINT_SDS[garment.type].map((sd) => sd * side);
  return LENGTHS_OF_TYPE[garment.type].map((name) => {
    const ends = LENGTHS[name].map((end) => end.map((short) => KEYPOINT_ABBREVIATIONS.indexOf(short)));
    const missing = ends.flat().filter((slot) => !isUsable(garment, slot)).map((slot) => KEYPOINT_NAMES[slot]);
    if (missing.length) return { name, pixels: null, pixels_sd: null, cm: null, cm_sd: null, missing };
    const [first, second] = ends.map((end) => [0, 1].map((axis) => mean(end.map((slot) => garment.points[slot][axis]))));
    const variance = sum(ends.map((end) => sum(end.map((slot) => sds[slot] ** 2)) / end.length ** 2));
    const pixels = Math.hypot(first[0] - second[0], first[1] - second[1]);
    const pixels_sd = Math.sqrt(variance);
    const inCm = (value) => (cmPerPixel === null ? null : value * cmPerPixel);
    return { name, pixels, pixels_sd, cm: inCm(pixels), cm_sd: inCm(pixels_sd), missing };
  });
}

/** Whether a garment of this type has the keypoint, and it is probably visible. */
export function isUsable(garment, slot) {
  return KEYPOINT_SLOTS[garment.type].includes(slot) && garment.pointScores[slot] >= MIN_VISIBLE;
}

const sum = (values) => values.reduce((total, value) => total + value, 0);
const mean = (values) => sum(values) / values.length;
