/**
 * The worker: the client's own files of one version, and what is pushed. No answer of the API is ever in its cache (C9). A push names a
 * notice by an opaque id; what it says is fetched with this device's own keys (C12).
 */
import { Problem, again, events, flush, later, read, self as device } from "/assets/js/api.js";
import { purge, wipe } from "/assets/js/offline.js";
import { activate, leave, subscribe, tidy } from "/assets/js/push.js";
import { get, put } from "/assets/js/store.js";
import { inWorker, language, t } from "/assets/js/texts.js";
import { place, visible } from "/assets/js/view.js";

const CACHE = `hoatoc-${SHELL.version}`;
const FETCH_MS = 10_000;

self.addEventListener("install", (event) => {
  event.waitUntil(
    caches.open(CACHE)
      .then((cache) => cache.addAll(SHELL.files.map((path) => new Request(path, { cache: "reload" }))))
      .then(() => self.skipWaiting()),
  );
  // Where the browser can, it takes these files from the cache without waking the worker (Service Workers, static routing).
  event.addRoutes?.(SHELL.files.map((pathname) => ({ condition: { requestMethod: "GET", urlPattern: { pathname } }, source: { cacheName: CACHE } })))?.catch?.(() => {});
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

events.addEventListener("revoked", () => Promise.all([wipe(), leave()]).catch(() => {}));

/** The keys may have changed since this worker began. Gives whether somebody is here. */
async function here() {
  again();
  inWorker(await get("language"));
  const me = await device();
  return Boolean(me?.device) && !me.closed;
}

const show = (title, options) => self.registration.showNotification(title, { lang: language(), icon: "/assets/icon-192.png", ...options });

async function tell(message) {
  for (const one of await self.clients.matchAll({ type: "window" })) one.postMessage(message);
}

/** The notice, `null` where it cannot be had now, nothing where it is not this person's. */
async function fetched(id) {
  const late = new Promise((resolve) => setTimeout(resolve, FETCH_MS, null));
  const found = read(`/api/v1/notices/${id}`).catch((error) => (error instanceof Problem && error.status === 404 ? undefined : null));
  return Promise.race([found, late]);
}

async function close(tag) {
  for (const one of await self.registration.getNotifications({ tag })) one.close();
}

const report = (notice, event) => later(`${event}:${notice}`, "/api/v1/receipts", { reports: [{ notice, event, at: new Date() }] });

async function pushed(data) {
  // In turn, so that what came later stands last; what may wait for the network does not hold the next one.
  const told = await navigator.locks.request("hoatoc-push", () => announced(data));
  if (!told) return;
  await report(told, "shown");
  await tidy();
}

/** Show what was pushed. Gives the notice that the screen now says. */
async function announced({ c: challenge, id, l: lane }) {
  const known = await here();
  if (challenge && known) {
    await activate(challenge);
    await tell({ push: "on" });
    await show(t("app"), { body: t("pushOn"), tag: "activation" });
    return;
  }
  if (!/^[\w-]{22,64}$/.test(id)) return;
  const notice = known ? await fetched(id) : null;
  if (notice === null) await show(t("app"), { body: t(lane === "u" ? "pushUrgent" : "pushNormal"), tag: id, data: { notice: id } });
  else await close(id);
  if (!notice) return;
  const { document, urgency, about, kind } = notice;
  const tag = document ?? (about || id);
  // A push may come twice; what the person has put aside stays aside.
  const seen = (await get("seen")) ?? [];
  const standing = (await self.registration.getNotifications({ tag })).some(({ data }) => data.notice === id);
  if (notice.kind === "recalled" && document) await purge(document);
  await tell({ changed: document });
  if (notice.state !== "open" && standing) await close(tag);
  if (notice.state !== "open" || (seen.includes(id) && !standing)) return;
  await put("seen", [id, ...seen.filter((one) => one !== id)].slice(0, 200));
  const title = language() === "en" ? notice.title_en : notice.title;
  await show(urgency ? `${t(`u${urgency}`)} · ${title}` : title, {
    body: (await get("detail")) ? visible([notice.number, notice.subject ?? notice.headline].filter(Boolean).join(" · ")) : t(urgency ? "pushUrgent" : "pushNormal"),
    tag, renotify: urgency > 0 && !standing, requireInteraction: urgency > 2, timestamp: Date.parse(notice.created_at), data: { notice: id, document, about, kind },
    actions: [{ action: "open", title: t("keyOpen") }, { action: "ack", title: t("noticeAck") }],
  });
  return id;
}

self.addEventListener("push", (event) => {
  let data = {};
  try {
    data = event.data?.json() ?? {};
  } catch { /** Not ours. */ }
  event.waitUntil(pushed(data).catch(() => {}));
});

async function opened(data, known) {
  const { notice } = data;
  const hash = place(data) ?? "#/notices";
  const [window] = await self.clients.matchAll({ type: "window" });
  window?.postMessage({ go: hash });
  // Before anything that takes time: only a tap may open or focus.
  await (window ? window.focus() : self.clients.openWindow(`/${hash}`)).catch(() => {});
  if (notice && known) await report(notice, "read");
}

self.addEventListener("notificationclick", (event) => {
  const { notification: { data }, action } = event;
  event.notification.close();
  event.waitUntil(here().then((known) => {
    if (known && data && action === "ack") return later(`ack:${data.notice}`, `/api/v1/notices/${data.notice}/acknowledgement`).then(() => tell({ changed: data.document }));
    return opened(data ?? {}, known);
  }));
});

self.addEventListener("sync", (event) => event.waitUntil(here().then((known) => known && flush())));
self.addEventListener("pushsubscriptionchange", (event) => event.waitUntil(here().then((known) => known && subscribe())));
