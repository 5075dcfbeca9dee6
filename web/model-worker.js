// Runs the model beside the page, which stays responsive: a photo takes a fraction of a second, a large one more.
//
// A classic worker, because LiteRT.js loads WebAssembly by `importScripts`, which module workers refuse.
//
// Messages to it: {url} of the model, once; then {id, file}. From it: {urls} that it has loaded, or {error}; then
// {id, result} of `predict` in model.js, or {id, error}.

const PACKAGES = new URL("node_modules/@litertjs/", location).href;
const WASM = `${PACKAGES}core/wasm/`;
// LiteRT.js would look for its files beside this one.
self.Module = {
  locateFile: (name) => WASM + name,
  mainScriptUrlOrBlob: `${WASM}litert_wasm_threaded_internal.js`,
};

let loaded; // promise of the model and of `predict`
let queue = Promise.resolve(); // one photo at a time, because a large one takes much memory

onmessage = ({ data }) => {
  if (data.url) queue = queue.then(() => start(data.url));
  else queue = queue.then(() => answer(data));
};

async function start(url) {
  loaded = load(url);
  try {
    await loaded;
    postMessage({ urls: performance.getEntriesByType("resource").map(({ name }) => name) });
  } catch (error) {
    postMessage({ error: error.message });
  }
}

async function load(url) {
  const [litert, { loadModel, predict }] = await Promise.all([importLitert(), import("./model.js")]);
  return { model: await loadModel(litert, WASM, url), predict };
}

async function answer({ id, file }) {
  try {
    const { model, predict } = await loaded;
    postMessage({ id, result: await predict(model, file) });
  } catch (error) {
    postMessage({ id, error: error.message });
  }
}

/** Import LiteRT.js; it imports its loader by a package's name, which a worker cannot resolve: it becomes an address. */
async function importLitert() {
  const response = await fetch(`${PACKAGES}core/dist/index.js`);
  const [name, address] = ['"@litertjs/wasm-utils"', `"${PACKAGES}wasm-utils/dist/index.js"`];
  const script = (await response.text()).replace(name, address);
  return import(URL.createObjectURL(new Blob([script], { type: "text/javascript" })));
}
