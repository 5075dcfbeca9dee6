// The page's side of the worker that runs the model: see model-worker.js.

/**
 * Start a worker with a model.
 *
 * @param url the model's address.
 * @returns {ready, predict}: a promise of the addresses that the worker has loaded; and a function of a file that
 *   resolves to its result, see `predict` in model.js.
 */
export function startModel(url) {
  const worker = new Worker("model-worker.js");
  const waiting = new Map(); // id of a question, undefined for the start → what to call with the answer
  let numAsked = 0;
  const ready = new Promise((resolve, reject) => {
    waiting.set(undefined, { resolve, reject });
    worker.addEventListener("error", ({ message }) => reject(new Error(message || "its worker does not start")));
  });
  worker.addEventListener("message", ({ data: { id, error, urls, result } }) => {
    const { resolve, reject } = waiting.get(id);
    waiting.delete(id);
    if (error) reject(new Error(error));
    else resolve(urls ?? result);
  });
  worker.postMessage({ url });
  const predict = async (file) => {
    await ready;
    numAsked += 1;
    const id = numAsked;
    return new Promise((resolve, reject) => {
      waiting.set(id, { resolve, reject });
      worker.postMessage({ id, file });
    });
  };
  return { ready, predict };
}
