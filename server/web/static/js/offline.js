/**
 * What was read, for reading again without a network: encrypted with a key that no script can read, bounded, and gone on recall, log-out
 * and revocation. Names are paths of the API with opaque ids. Beside it: what waits to be sent. A signature never does.
 *
 * @typedef {{path: string, group: string, at: number, size: number, pack?: boolean}} Entry `group`: the document or meeting, else empty. `at`: milliseconds.
 *   `pack`: a person asked for it; what is kept by the way does not take its place, nor the other way round.
 * @typedef {{path: string, json?: unknown}} Waiting A POST that may be sent whenever.
 */
import { utf8 } from "./codec.js";

const MOST = 400;
const BYTES = 40e6;
const PACKED = 1000;
/** A phone that its agency cannot reach forgets by itself. */
const AGE = 7 * 864e5;
const AES = "AES-GCM";
const STORES = ["index", "bytes", "gone", "key"];

/** @type {Promise<IDBDatabase> | undefined} */
let opened;
const database = () => (opened ??= new Promise((resolve, reject) => {
  const request = indexedDB.open("hoatoc-kept", 1);
  request.onupgradeneeded = () => [...STORES, "queue"].forEach((name) => request.result.createObjectStore(name));
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
}));

/**
 * One transaction; what `act` gives is read after the commit.
 * @template T @param {string[]} names @param {(...stores: IDBObjectStore[]) => IDBRequest<T> | void} act @returns {Promise<T>}
 */
async function within(names, act) {
  const transaction = (await database()).transaction(names, "readwrite");
  const request = act(...names.map((name) => transaction.objectStore(name)));
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve(/** @type {T} */ (request?.result));
    transaction.onabort = () => reject(transaction.error);
  });
}

/** Two windows agree on one key. */
async function key() {
  const made = await crypto.subtle.generateKey({ name: AES, length: 256 }, false, ["encrypt", "decrypt"]);
  await within(["key"], (keys) => { keys.add(made, 1).onerror = (event) => event.preventDefault(); });
  return held();
}
/** @returns {Promise<CryptoKey>} */
const held = () => within(["key"], (keys) => keys.get(1));

/** @param {string} path */
const groupOf = (path) => /\/(?:documents|meetings)\/([0-9a-f]{32})/.exec(path)?.[1] ?? "";

/** @param {string} path @param {ArrayBuffer} body @param {boolean} [pack] There is `room` for it. */
export async function keep(path, body, pack) {
  const iv = crypto.getRandomValues(new Uint8Array(12));
  const bytes = await crypto.subtle.encrypt({ name: AES, iv, additionalData: utf8(path) }, (await held()) ?? (await key()), body);
  // A meeting stays with its papers.
  const entry = { path, group: groupOf(path), at: Date.now(), size: bytes.byteLength, pack: pack || /meetings\/\w+$/.test(path) };
  await within(STORES, (index, store, gone) => {
    gone.get(entry.group).onsuccess = ({ target }) => {
      if (/** @type {any} */ (target).result) return;
      index.getAll().onsuccess = (event) => {
        const old = Date.now() - AGE;
        /** @type {Entry[]} */
        const all = /** @type {any} */ (event.target).result;
        // What is read while the pack is made stays in it.
        entry.pack ||= all.some((one) => one.path === path && one.pack);
        index.put(entry, path);
        store.put({ iv, bytes }, path);
        let sum = 0;
        [entry, ...all.filter((one) => one.path !== path)].filter((one) => !one.pack || one.at < old).sort((one, two) => two.at - one.at).forEach((one, count) => {
          sum += one.size;
          if (count >= MOST || sum > BYTES || one.at < old) [index, store].forEach((each) => each.delete(one.path));
        });
      };
    };
  });
}

/** Whether a meeting's papers have room beside those of other meetings. @param {string} group @param {number} count Pages. */
export async function room(group, count) {
  /** @type {Entry[]} */
  const all = await within(["index", "gone"], (index, gone) => {
    // Who was taken off its list is on it again.
    gone.delete(group);
    return index.getAll();
  });
  return all.filter((one) => one.pack && one.group !== group).length + count <= PACKED;
}

/** Of a meeting's papers only these revisions stay: what was replaced is read no more, and takes no room. @param {string} group @param {string[]} revisions */
export const only = (group, revisions) => within(["index", "bytes"], (index, bytes) => {
  index.getAll().onsuccess = ({ target }) => {
    for (const one of /** @type {any} */ (target).result) {
      const revision = /revisions\/(\w+)/.exec(one.path)?.[1] ?? "";
      if (one.group === group && revision && !revisions.includes(revision)) [index, bytes].forEach((each) => each.delete(one.path));
    }
  };
});

/** @param {string} path @returns {Promise<{body: ArrayBuffer, at: number} | undefined>} */
export async function kept(path) {
  const entry = await within(["index"], (index) => index.get(path));
  const found = await within(["bytes"], (store) => store.get(path));
  if (!entry || !found || entry.at < Date.now() - AGE) return;
  const body = await crypto.subtle.decrypt({ name: AES, iv: found.iv, additionalData: utf8(path) }, await held(), found.bytes).catch(() => null);
  return body ? { body, at: entry.at } : undefined;
}

/** A document was recalled: no copy of it stays or comes back. @param {string} group */
export const purge = (group) => within(STORES, (index, store, gone) => {
  gone.put(1, group);
  index.getAll().onsuccess = ({ target }) => {
    for (const one of /** @type {any} */ (target).result) {
      // Lists name it too.
      if (one.group === group || /inbox|queue|notices/.test(one.path)) [index, store].forEach((each) => each.delete(one.path));
    }
  };
});

/** Nothing stays: copies, their key, what waited. */
export const wipe = () => within([...STORES, "queue"], (...all) => all.forEach((store) => store.clear()));

/** @param {string} name @param {Waiting} row */
export const queue = (name, row) => within(["queue"], (all) => all.put({ name, ...row }, name));
/** @returns {Promise<(Waiting & {name: string})[]>} */
export const queued = () => within(["queue"], (all) => all.getAll());
/** @param {string} name */
export const sent = (name) => within(["queue"], (all) => all.delete(name));
