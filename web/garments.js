// Garment types, keypoints and colours, in the order of cspn_tf/garments.py and cspn_tf/drawing.py; a test compares them.

export const KEYPOINT_NAMES = [
  "left_collar", "right_collar", "left_sleeve", "right_sleeve",
  "left_waistline", "right_waistline", "left_hem", "right_hem",
];
export const KEYPOINT_ABBREVIATIONS = ["LC", "RC", "LS", "RS", "LW", "RW", "LH", "RH"];

// Index is the class id of the model's answer; 0 is padding.
export const GARMENT_TYPE_NAMES = [null, "upper-body", "lower-body", "full-body"];
export const KEYPOINT_SLOTS = [[], [0, 1, 2, 3, 6, 7], [4, 5, 6, 7], [0, 1, 2, 3, 4, 5, 6, 7]];

// Lines drawn between keypoints: collar, the two sleeves, waistline, hem.
export const SKELETON = [[0, 1], [0, 2], [1, 3], [4, 5], [6, 7]];

export const TYPE_COLOURS = [null, [45, 125, 246], [240, 120, 30], [150, 70, 225]];
// One colour for each pair of keypoints: collars, sleeves, waistline, hems.
export const PAIR_COLOURS = [[255, 214, 10], [34, 211, 238], [255, 105, 180], [140, 230, 60]];

export const rgb = (colour) => `rgb(${colour.join(" ")})`;
export const words = (name) => name.replaceAll("_", " ");
