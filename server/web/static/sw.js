// The offline shell: the client's own files of one version, and nothing else. No answer of the API is ever kept here (C9).
const CACHE = `hoatoc-${SHELL.version}`;

self.addEventListener("install", (event) => {
  event.waitUntil(
    caches.open(CACHE)
      .then((cache) => cache.addAll(SHELL.files.map((path) => new Request(path, { cache: "reload" }))))
      .then(() => self.skipWaiting()),
  );
});

self.addEventListener("activate", (event) => {
  event.waitUntil(
    caches.keys()
      .then((names) => Promise.all(names.filter((name) => name !== CACHE).map((name) => caches.delete(name))))
      .then(() => self.clients.claim()),
  );
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  if (request.method !== "GET" || origin !== location.origin) return;
  const path = request.mode === "navigate" && pathname === "/pair" ? "/" : pathname;
  if (!SHELL.files.includes(path)) return;
  event.respondWith(caches.open(CACHE).then((cache) => cache.match(path)).then((known) => known ?? fetch(request)));
});
