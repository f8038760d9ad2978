/**
 * What this device keeps: its two keys (never extractable), its tokens, the signer that it was paired with. IndexedDB, one row a name.
 *
 * @typedef {{key: CryptoKey, jwk: import("./jose.js").Jwk, print: string}} DeviceKey The private key, its public half and thumbprint.
 * @typedef {{session: DeviceKey, approval: DeviceKey, signer: string, code: string, device: string, closed: boolean}} Device
 *   `signer`: thumbprint of the signer's identity key, from the pairing link. `code`: the pairing code while it is being redeemed, else
 *   empty. `device`: its id at the server, empty until paired. `closed`: logged out; the keys stay.
 * @typedef {{access: string, refresh: string, ends: number}} Tokens `ends`: by this device's clock, milliseconds.
 */
import { P256, publicJwk, thumbprint } from "./jose.js";

/** @type {Promise<IDBDatabase> | undefined} */
let opened;

function database() {
  opened ??= new Promise((resolve, reject) => {
    const request = indexedDB.open("hoatoc", 1);
    request.onupgradeneeded = () => request.result.createObjectStore("device");
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  return opened;
}

/** @template T @param {IDBTransactionMode} mode @param {(rows: IDBObjectStore) => IDBRequest<T>} act @returns {Promise<T>} After the commit. */
async function rows(mode, act) {
  const transaction = (await database()).transaction("device", mode);
  const request = act(transaction.objectStore("device"));
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve(request.result);
    transaction.onerror = transaction.onabort = () => reject(transaction.error);
  });
}

/** @typedef {"device" | "tokens" | "place" | "language" | "detail" | "seen" | "officer"} Name `detail`: notifications may say what they are of. `seen`: shown notices. `officer`: a registration officer's key for vouchers. */
/** @param {Name} name @returns {Promise<any>} */
export const get = (name) => rows("readonly", (all) => all.get(name));
/** @param {Name} name @param {unknown} value */
export const put = (name, value) => rows("readwrite", (all) => all.put(value, name));
/** Forget the keys, the tokens and the place in the changes feed. */
export const clear = () => rows("readwrite", (all) => all.clear());

/** @returns {Promise<DeviceKey>} A P-256 key whose private half no script can read. */
export async function newKey() {
  const pair = await crypto.subtle.generateKey(P256, false, ["sign", "verify"]);
  const jwk = publicJwk(await crypto.subtle.exportKey("jwk", pair.publicKey));
  return { key: pair.privateKey, jwk, print: await thumbprint(jwk) };
}
