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

/** @typedef {{notice?: string, document?: string | null, about?: string, kind?: string}} Said What a notification that is shown is about. */

const worker = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));
const CACHE = `hoatoc-${SHELL.version}`;
const FETCH_MS = 10_000;

worker.addEventListener("install", (event) => {
  event.waitUntil(
    caches.open(CACHE)
      .then((cache) => cache.addAll(SHELL.files.map((path) => new Request(path, { cache: "reload" }))))
      .then(() => worker.skipWaiting()),
  );
  // Where the browser can, it takes these files from the cache without waking the worker (Service Workers, static routing).
  /** @type {any} */ (event).addRoutes?.(SHELL.files.map((pathname) => ({ condition: { requestMethod: "GET", urlPattern: { pathname } }, source: { cacheName: CACHE } })))?.catch?.(() => {});
});

worker.addEventListener("activate", (event) => {
  event.waitUntil(
    caches.keys()
      .then((names) => Promise.all(names.filter((name) => name !== CACHE).map((name) => caches.delete(name))))
      .then(() => worker.clients.claim()),
  );
});

worker.addEventListener("fetch", (event) => {
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
  return Boolean(me?.device && !me.closed);
}

/** @param {string} title @param {Record<string, any>} options */
const show = (title, options) => worker.registration.showNotification(title, { lang: language(), icon: "/assets/icon-192.png", ...options });

/** @param {Record<string, any>} message */
async function tell(message) {
  for (const one of await worker.clients.matchAll({ type: "window" })) one.postMessage(message);
}

/** The notice, `null` where it cannot be had now, nothing where it is not this person's. @param {string} id @returns {Promise<any>} */
async function fetched(id) {
  const late = new Promise((resolve) => setTimeout(resolve, FETCH_MS, null));
  const found = read(`/api/v1/notices/${id}`).catch((error) => (error instanceof Problem && error.status === 404 ? undefined : null));
  return Promise.race([found, late]);
}

/** @param {string} tag */
async function close(tag) {
  for (const one of await worker.registration.getNotifications({ tag })) one.close();
}

/** @param {string} notice @param {string} event */
const report = (notice, event) => later(`${event}:${notice}`, "/api/v1/receipts", { reports: [{ notice, event, at: new Date() }] });

/** @param {any} data From a push service: whatever it says. */
async function pushed(data) {
  // In turn, so that what came later stands last; what may wait for the network does not hold the next one.
  const told = await navigator.locks.request("hoatoc-push", () => announced(data));
  if (!told) return;
  await report(told, "shown");
  await tidy();
}

/** Show what was pushed. Gives the notice that the screen now says. @param {any} data `c`: a challenge; `id`: a notice; `l`: its lane */
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
  /** @type {string[]} */
  const seen = (await get("seen")) ?? [];
  const standing = (await worker.registration.getNotifications({ tag })).some(({ data }) => data.notice === id);
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

worker.addEventListener("push", (event) => {
  let data = {};
  try {
    data = event.data?.json() ?? {};
  } catch { /** Not ours. */ }
  event.waitUntil(pushed(data).catch(() => {}));
});

/** @param {Said} data @param {boolean} known */
async function opened(data, known) {
  const { notice } = data;
  const hash = place(data) ?? "#/notices";
  const [window] = await worker.clients.matchAll({ type: "window" });
  window?.postMessage({ go: hash });
  // Before anything that takes time: only a tap may open or focus.
  await (window ? window.focus() : worker.clients.openWindow(`/${hash}`)).catch(() => {});
  if (notice && known) await report(notice, "read");
}

worker.addEventListener("notificationclick", (event) => {
  const { notification: { data }, action } = event;
  event.notification.close();
  event.waitUntil(here().then((known) => {
    if (known && data && action === "ack") return later(`ack:${data.notice}`, `/api/v1/notices/${data.notice}/acknowledgement`).then(() => tell({ changed: data.document }));
    return opened(data ?? {}, known);
  }));
});

worker.addEventListener("sync", (/** @type {any} */ event) => event.waitUntil(here().then(async (known) => known && flush())));
worker.addEventListener("pushsubscriptionchange", (event) => event.waitUntil(here().then(async (known) => known && subscribe())));
