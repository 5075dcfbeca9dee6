// Service worker: what the page is made of comes from the network if there is one, else from the last visit.

const CACHE = "cspn-tf";

addEventListener("install", () => skipWaiting());
addEventListener("activate", (event) => event.waitUntil(clients.claim()));

// The page sends what it has loaded, once, and is told when that is kept.
addEventListener("message", (event) => {
  const keep = async () => {
    const cache = await caches.open(CACHE);
    await cache.addAll([...new Set(event.data)]);
    event.ports[0].postMessage("kept");
  };
  event.waitUntil(keep());
});

addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET" || !request.url.startsWith(location.origin)) return;
  event.respondWith(fetch(request).catch(async (error) => {
    const wanted = request.mode === "navigate" ? registration.scope : request;
    const kept = await caches.match(wanted, { ignoreVary: true });
    if (!kept) throw error;
    return kept;
  }));
});
