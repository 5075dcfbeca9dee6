// Boxes and keypoints over a photo, as SVG in photo pixels with integers at pixel centres.

import {
  GARMENT_TYPE_NAMES, KEYPOINT_ABBREVIATIONS, KEYPOINT_SLOTS, PAIR_COLOURS, rgb, SKELETON, TYPE_COLOURS,
} from "./garments.js";
import { isUsable } from "./lengths.js";

const SVG = "http://www.w3.org/2000/svg";

/** Make an SVG element with attributes and children. */
export function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** Return the drawing of a result: keypoints below `MIN_VISIBLE` are hollow, without a name and without lines. */
export function drawGarments({ width, height, garments }) {
  const unit = drawingUnit(width, height);
  const drawing = svg("svg", { viewBox: `-0.5 -0.5 ${width} ${height}`, class: "drawing" });
  drawing.style.setProperty("--unit", `${unit}px`);
  drawing.append(...garments.map((garment) => drawBox(garment, unit)));
  drawing.append(...garments.map((garment) => drawSkeleton(garment, unit)));
  drawing.append(...garments.map((garment) => drawPoints(garment, unit, width)));
  drawing.append(...garments.map((garment, index) => drawTag(garment, index, unit)));
  return drawing;
}

/** Return the length in photo pixels that sizes of dots and text are multiples of. */
export const drawingUnit = (width, height) => Math.max(width, height) / 100;

function drawBox({ type, box: [x, y, xMax, yMax] }, unit) {
  return svg("rect", {
    ...{ x, y, width: xMax - x, height: yMax - y, rx: unit / 2, fill: "none" },
    ...{ stroke: rgb(TYPE_COLOURS[type]), "stroke-width": unit * 0.45 },
  });
}

function drawTag({ type, score, box: [x, y] }, index, unit) {
  const text = `${index + 1} ${GARMENT_TYPE_NAMES[type]} ${Math.round(score * 100)} %`;
  const size = unit * 2.2;
  const top = Math.max(y, size * 1.4);
  const textLength = text.length * size * 0.55; // fixed, because fonts differ
  const plate = { x, y: top - size * 1.4, width: textLength + size * 0.8, height: size * 1.4, rx: unit / 2 };
  return svg(
    "g",
    {},
    svg("rect", { ...plate, fill: rgb(TYPE_COLOURS[type]) }),
    svg("text", { x: x + size * 0.4, y: top - size * 0.4, "font-size": size, textLength, fill: "white" }, text),
  );
}

function drawSkeleton(garment, unit) {
  const lines = SKELETON.filter((ends) => ends.every((slot) => isUsable(garment, slot)));
  const line = ([first, second]) => {
    const [[x1, y1], [x2, y2]] = [garment.points[first], garment.points[second]];
    return svg("line", { x1, y1, x2, y2, stroke: "white", "stroke-width": unit * 0.4, opacity: 0.8 });
  };
  return svg("g", {}, ...lines.map(line));
}

function drawPoints(garment, unit, width) {
  return svg("g", {}, ...KEYPOINT_SLOTS[garment.type].map((slot) => drawPoint(garment, slot, unit, width)));
}

function drawPoint(garment, slot, unit, width) {
  const [x, y] = garment.points[slot];
  const colour = rgb(PAIR_COLOURS[slot >> 1]);
  const usable = isUsable(garment, slot);
  const onRight = x > width - unit * 12;
  const label = {
    ...{ x: x + (onRight ? -1.4 : 1.4) * unit, y: y - unit * 0.6, "text-anchor": onRight ? "end" : "start" },
    ...{ class: "name", fill: colour, stroke: "rgb(20 20 24)", "stroke-width": unit * 0.4, "paint-order": "stroke" },
  };
  const dot = usable
    ? { fill: colour, stroke: "rgb(20 20 24)", "stroke-width": unit * 0.25 }
    : { fill: "rgb(20 20 24 / 0.35)", stroke: colour, "stroke-width": unit * 0.35 };
  const circle = svg("circle", { cx: x, cy: y, r: unit * 0.9, ...dot });
  if (!usable) return circle;
  const text = `${KEYPOINT_ABBREVIATIONS[slot]} ${Math.round(garment.pointScores[slot] * 100)}`;
  return svg("g", {}, circle, svg("text", label, text));
}
