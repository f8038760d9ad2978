/** Bytes and texts: base64url in its one canonical spelling (RFC 4648 §5, unpadded), hex, SHA-256. */

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/** @param {string} text @returns {Uint8Array<ArrayBuffer>} */
export const utf8 = (text) => encoder.encode(text);

/** @param {BufferSource} bytes @returns {string} Throws for bytes that are not UTF-8. */
export const fromUtf8 = (bytes) => decoder.decode(bytes);

/** @param {...(Uint8Array<ArrayBuffer> | number[])} parts @returns {Uint8Array<ArrayBuffer>} */
export function concat(...parts) {
  const out = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** @param {ArrayBuffer | Uint8Array<ArrayBuffer>} bytes @returns {string} */
export function b64u(bytes) {
  let text = "";
  for (const byte of new Uint8Array(bytes)) text += String.fromCharCode(byte);
  return btoa(text).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

/** @param {string} text @returns {Uint8Array<ArrayBuffer>} Throws unless encoding the bytes again gives the same text. */
export function unb64u(text) {
  const bytes = Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (char) => char.charCodeAt(0));
  if (b64u(bytes) !== text) throw new Error("not canonical base64url");
  return bytes;
}

/** @param {ArrayBuffer | Uint8Array<ArrayBuffer>} bytes @returns {string} Lower-case hexadecimal. */
export const hex = (bytes) => Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** @param {string} text Lower-case hexadecimal. @returns {Uint8Array<ArrayBuffer>} */
export function unhex(text) {
  if (!/^([0-9a-f]{2})*$/.test(text)) throw new Error("not hexadecimal");
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

/** @param {BufferSource} bytes @returns {Promise<Uint8Array<ArrayBuffer>>} */
export const sha256 = async (bytes) => new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));

/** SHA-256 as signed payloads write it. @param {BufferSource} bytes @returns {Promise<string>} */
export const digest = async (bytes) => b64u(await sha256(bytes));

/** @param {number} size @returns {string} That many random bytes, base64url. */
export const random = (size) => b64u(crypto.getRandomValues(new Uint8Array(size)));
