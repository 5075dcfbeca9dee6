// One photo's card: the photo with its drawing, and the same as tables.

import { drawGarments } from "./drawing.js";
import { GARMENT_TYPE_NAMES, KEYPOINT_NAMES, KEYPOINT_SLOTS, words } from "./garments.js";
import { lengthsOf } from "./lengths.js";
import { STATUS_MEANINGS } from "./photo-file.js";
import { ScaleLine } from "./scale.js";

/** Make an HTML element with properties and children. */
function html(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

/**
 * Make the card of a photo.
 *
 * @param result of `predict`; its `cmPerPixel` is set when the user gives a scale.
 * @param file the photo.
 * @param shareScale function of a scale that gives it to all photos.
 * @returns {element, setScale}; `setScale` is a function of a scale.
 */
export function photoCard(result, file, shareScale) {
  const title = html("h2", {}, result.name);
  if (result.status) {
    const fault = html("p", { className: "fault" }, `${result.name}: ${STATUS_MEANINGS[result.status]}. It is left out.`);
    return { element: html("article", { className: "card" }, title, fault), setScale: () => {} };
  }
  const { width, height, garments, decodeMs, modelMs } = result;
  const times = `${width} × ${height} pixels · ${Math.round(decodeMs)} ms to read, ${Math.round(modelMs)} ms to find`;
  const sections = garments.map((garment, index) => garmentSection(garment, index));
  const show = () => sections.forEach((section) => section.showLengths(result.cmPerPixel ?? null));
  show();
  const found = garments.length ? sections.map(({ element }) => element) : [html("p", {}, "No garment found.")];
  const panel = html("div", {}, ...found);
  const image = html("img", { src: URL.createObjectURL(file), alt: `${result.name}: ${described(garments)}` });
  image.addEventListener("load", () => URL.revokeObjectURL(image.src), { once: true });
  const drawing = drawGarments(result);
  const figure = html("figure", { style: `aspect-ratio: ${width} / ${height}; --ratio: ${width / height}` }, image, drawing);
  const scale = scaleForm(result, drawing, show, shareScale);
  if (garments.length) panel.prepend(scale.element);
  const element = html(
    "article",
    { className: "card" },
    html("div", { className: "card-head" }, title, html("p", { className: "hint" }, times)),
    html("div", { className: "card-body" }, figure, panel),
  );
  return { element, setScale: scale.set };
}

function described(garments) {
  return garments.map(({ type }) => GARMENT_TYPE_NAMES[type]).join(", ") || "no garment found";
}

// Scale ---------------------------------------------------------------------------------------------------------------

/** Return the form that asks for a scale, and a function that sets it from outside. */
function scaleForm(result, drawing, show, shareScale) {
  const begin = html("button", { type: "button", className: "button small" }, "Place a line");
  const cm = html("input", { type: "number", min: "0", step: "any", inputMode: "decimal" });
  const share = html("button", { type: "button", className: "button small", disabled: true }, "Use for all photos");
  const state = html("p", { className: "hint", role: "status" });
  let shared = null; // the scale that another photo's form has set
  const update = () => {
    const known = Number(cm.value);
    result.cmPerPixel = line.pixels && known > 0 ? known / line.pixels : shared;
    state.textContent = line.pixels ? scaleWords(line.pixels, result.cmPerPixel) : "";
    share.disabled = !result.cmPerPixel;
    show();
  };
  const line = new ScaleLine(drawing, result.width, result.height, update);
  begin.addEventListener("click", () => line.begin());
  cm.addEventListener("input", update);
  share.addEventListener("click", () => shareScale(result.cmPerPixel));
  const set = (cmPerPixel) => {
    result.cmPerPixel = shared = cmPerPixel;
    state.textContent = scaleWords(line.pixels, cmPerPixel);
    show();
  };
  const element = html(
    "fieldset",
    { className: "scale-form" },
    html("legend", {}, "Centimetres"),
    html("p", { className: "hint" }, "Drag along a known length in the photo, or place a line and move its ends, by finger or by keys."),
    html("div", { className: "buttons" }, begin, html("label", {}, "It is ", cm, " cm long"), share),
    state,
  );
  return { element, set };
}

function scaleWords(pixels, cmPerPixel) {
  const line = pixels ? `The line is ${pixels.toFixed(1)} px long` : "";
  const scale = cmPerPixel ? `${cmPerPixel.toPrecision(3)} cm per pixel` : line && "type its centimetres";
  return [line, scale].filter(Boolean).join(": ");
}

// Tables --------------------------------------------------------------------------------------------------------------

/** Return a garment's section, and a function of the scale that fills in its lengths. */
function garmentSection(garment, index) {
  const name = `${index + 1} ${GARMENT_TYPE_NAMES[garment.type]}`;
  const points = KEYPOINT_SLOTS[garment.type].map((slot) => [
    words(KEYPOINT_NAMES[slot]),
    ...garment.points[slot].map((value) => value.toFixed(1)),
    percent(garment.pointScores[slot]),
  ]);
  const lengths = html("div");
  const element = html(
    "section",
    { className: "garment" },
    html("h3", {}, `${name}, ${percent(garment.score)}`),
    lengths,
    html(
      "details",
      {},
      html("summary", {}, "Keypoints"),
      table(`Keypoints of ${name}`, ["keypoint", "x, px", "y, px", "confidence"], points),
    ),
  );
  return { element, showLengths: (cmPerPixel) => lengths.replaceChildren(lengthTable(name, garment, cmPerPixel)) };
}

function lengthTable(name, garment, cmPerPixel) {
  const withSd = (value, sd, digits) => (value === null ? "" : `${value.toFixed(digits)} ± ${sd.toFixed(digits)}`);
  const rows = lengthsOf(garment, cmPerPixel).map(({ name, pixels, pixels_sd, cm, cm_sd, missing }) => {
    if (pixels === null) return [words(name), html("span", {}, `${missing.map(words).join(", ")} not visible`), ""];
    return [words(name), withSd(pixels, pixels_sd, 0), withSd(cm, cm_sd, 1)];
  });
  return table(`Lengths of ${name}`, ["length", "px", "cm"], cmPerPixel ? rows : rows.map((row) => row.slice(0, 2)));
}

/** Return a table; a row's first cell is its heading, and columns without cells have no heading. */
function table(caption, headings, rows) {
  const shown = headings.slice(0, Math.max(...rows.map((row) => row.length)));
  const head = html("tr", {}, ...shown.map((heading) => html("th", { scope: "col" }, heading)));
  const body = rows.map(([first, ...cells]) =>
    html("tr", {}, html("th", { scope: "row" }, first), ...cells.map((cell) => html("td", {}, cell))),
  );
  return html("table", {}, html("caption", {}, caption), html("thead", {}, head), html("tbody", {}, ...body));
}

const percent = (score) => `${Math.round(score * 100)} %`;
