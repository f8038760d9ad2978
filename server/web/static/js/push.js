/** Web Push on this device, for the page and for the service worker: subscribing, and taking away what is over. */
import { call, post, read } from "./api.js";
import { b64u, unb64u } from "./codec.js";

const PATH = "/api/v1/me/push-addresses/webpush";

/** @returns {Promise<ServiceWorkerRegistration | undefined>} */
export const registered = async () => /** @type {any} */ (globalThis).registration ?? (await navigator.serviceWorker?.getRegistration());

/** `can`: the browser and the server both push, and nobody refused. @returns {Promise<{can: boolean, state: string}>} */
export async function standing() {
  const { vapid_key: key, state } = await read(PATH);
  const held = await (await registered())?.pushManager?.getSubscription();
  return { can: Boolean(key) && "PushManager" in globalThis && Notification.permission !== "denied", state: held ? state : "none" };
}

/** Subscribe under the server's key, or register anew what is subscribed already. Asks nobody. */
export async function subscribe() {
  const registration = await registered();
  const { vapid_key: key, state } = await read(PATH);
  if (!registration || !key) return;
  let held = await registration.pushManager.getSubscription();
  const other = held?.options.applicationServerKey;
  if (held && (state === "dead" || (other && b64u(other) !== key))) {
    await held.unsubscribe();
    held = null;
  }
  held ??= await registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: unb64u(key) });
  const { endpoint, keys } = held.toJSON();
  await call("PUT", PATH, { json: { endpoint, keys }, tries: 3 });
}

/** The browser may have lost or changed its subscription: once a day the server is told. */
export async function renew() {
  const today = new Date().toDateString();
  if (localStorage.getItem("pushed") === today) return;
  if (await (await registered())?.pushManager?.getSubscription()) await subscribe();
  localStorage.setItem("pushed", today);
}

/** Nothing comes to this device any more, and nothing stays on its screen. */
export async function leave() {
  const registration = await registered();
  await (await registration?.pushManager?.getSubscription())?.unsubscribe();
  for (const one of (await registration?.getNotifications()) ?? []) one.close();
}

export async function turnOff() {
  await call("DELETE", PATH, { tries: 3 });
  await leave();
}

/** @param {string} challenge What was pushed here, given back. */
export const activate = (challenge) => post(`${PATH}/activation`, { challenge }, { tries: 3 });

/** Take away the notifications of what was acknowledged elsewhere, overtaken or withdrawn. */
export async function tidy() {
  const shown = (await (await registered())?.getNotifications()) ?? [];
  if (!shown.length) return;
  const over = new Set((await read("/api/v1/notices")).items.filter(({ state }) => state !== "open").map(({ id }) => id));
  for (const one of shown) if (over.has(one.data?.notice)) one.close();
}
