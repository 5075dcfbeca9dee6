// The page: photos in, one card per photo out. Photos are processed one after another, in a worker of this page.

import { photoCard } from "./card.js";
import { connectCamera } from "./camera.js";
import { save, toCsv, toJsonLines } from "./files.js";
import { startModel } from "./model-client.js";
import { STATUS_MEANINGS } from "./photo-file.js";

const MODEL_URL = new URL("model/cspn.tflite", document.baseURI).href;

const find = (id) => document.getElementById(id);
const results = []; // in the order in which the photos came, with `cmPerPixel` where the user gave a scale
const cards = []; // likewise
const model = startModel(MODEL_URL);
let queue = Promise.resolve();
let numAdded = 0;
let numUnread = 0;
let isBroken = false; // the model cannot be used
let generation = 0; // counts removals of everything, after which photos in the queue are no longer wanted

function say(text) {
  find("status").textContent = text;
}

function complain(text) {
  find("fault").hidden = !text;
  find("fault").textContent = text;
}

function addFiles(files) {
  if (isBroken) return;
  if (numDone() === numAdded) complain("");
  const wanted = generation;
  numAdded += files.length;
  for (const file of files) {
    queue = queue.then(() => (wanted === generation ? process(file, wanted, files.length === 1) : undefined));
  }
}

function numDone() {
  return results.length + numUnread;
}

async function process(file, wanted, isAlone) {
  say(`Photo ${numDone() + 1} of ${numAdded}: ${file.name}…`);
  let result;
  try {
    result = await model.predict(file);
  } catch (error) {
    if (wanted !== generation) return;
    numUnread += 1;
    complain(`${find("fault").textContent}\n${file.name}: ${error.message}`.trim());
    say(progress());
    return;
  }
  if (wanted !== generation) return;
  results.push(result);
  const card = photoCard(result, file, shareScale);
  cards.push(card);
  find("results").append(card.element);
  if (isAlone) card.element.scrollIntoView();
  find("saving").hidden = false;
  say(`${summary(result)} ${progress()}`.trim());
}

/** Return what is said when all photos are done; before, the next one's name is. */
function progress() {
  return numDone() === numAdded ? `${results.length} of ${numAdded} photos done.` : "";
}

function summary({ name, status, garments }) {
  if (status) return `${name}: ${STATUS_MEANINGS[status]}.`;
  return `${name}: ${garments.length || "no"} garment${garments.length === 1 ? "" : "s"} found.`;
}

/** Give all photos the scale of one. */
function shareScale(cmPerPixel) {
  cards.forEach((card) => card.setScale(cmPerPixel));
  say(`All photos have the scale of ${cmPerPixel.toPrecision(3)} cm per pixel.`);
}

function removeAll() {
  generation += 1;
  numAdded = numUnread = 0;
  results.length = 0;
  cards.length = 0;
  find("results").replaceChildren();
  find("saving").hidden = true;
  complain("");
  say("Ready.");
  find("files").focus();
}

function connectDrop() {
  const drop = find("drop");
  // The whole window takes a drop: beside the field, the browser would leave the page and open the photo.
  addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  addEventListener("dragleave", (event) => event.relatedTarget ?? drop.classList.remove("over"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    addFiles(event.dataTransfer.files);
  });
}

/** Keep what the page is made of for use without a network: what it has loaded, and `urls` that its worker has. */
async function keepForOffline(urls) {
  if (!("serviceWorker" in navigator)) return;
  await navigator.serviceWorker.register("worker.js");
  const { active } = await navigator.serviceWorker.ready;
  const ofPage = performance.getEntriesByType("resource").map(({ name }) => name);
  const channel = new MessageChannel();
  channel.port1.onmessage = () => (find("offline").textContent = "This page now works without a network.");
  const kept = [new URL(".", document.baseURI).href, ...ofPage, ...urls].filter((url) => url.startsWith(location.origin));
  active.postMessage(kept, [channel.port2]);
}

find("files").addEventListener("change", (event) => {
  addFiles([...event.target.files]);
  event.target.value = ""; // so that the same file can be chosen again
});
find("save-json").addEventListener("click", () => save("predictions.jsonl", "application/jsonl", toJsonLines(results)));
find("save-csv").addEventListener("click", () => save("predictions.csv", "text/csv", toCsv(results)));
find("clear").addEventListener("click", removeAll);
connectDrop();
connectCamera((file) => addFiles([file]), complain);

try {
  const urls = await model.ready;
  if (!numAdded) say("Ready.");
  await keepForOffline(urls).catch(() => {}); // a browser that forbids it still has the page
} catch (error) {
  isBroken = true;
  generation += 1;
  complain(`The model cannot be used: ${error.message}`);
  say("");
}
