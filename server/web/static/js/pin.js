/** A PIN on its way to the signer: HPKE base mode, RFC 9180: DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM, single shot. */
import { concat, digest, sha256, unb64u, utf8 } from "./codec.js";
import { publicJwk, thumbprint, verifyJws } from "./jose.js";

/** @typedef {import("./jose.js").Jwk} Jwk */

const { subtle } = crypto;
const KEM = concat(utf8("KEM"), [0, 0x10]);
const SUITE = concat(utf8("HPKE"), [0, 0x10, 0, 1, 0, 2]);
const VERSION = utf8("HPKE-v1");
const ECDH = { name: "ECDH", namedCurve: "P-256" };
const NOTHING = new Uint8Array();

/** @param {Uint8Array<ArrayBuffer>} key @param {Uint8Array<ArrayBuffer>} data */
async function hmac(key, data) {
  const k = await subtle.importKey("raw", key, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return new Uint8Array(await subtle.sign("HMAC", k, data));
}
/** @param {Uint8Array<ArrayBuffer>} suite @param {Uint8Array<ArrayBuffer>} salt @param {string} label @param {Uint8Array<ArrayBuffer>} ikm */
const extract = (suite, salt, label, ikm) => hmac(salt.length ? salt : new Uint8Array(32), concat(VERSION, suite, utf8(label), ikm));
/** @param {Uint8Array<ArrayBuffer>} suite @param {Uint8Array<ArrayBuffer>} prk @param {string} label @param {Uint8Array<ArrayBuffer>} info @param {number} length */
const expand = async (suite, prk, label, info, length) =>
  (await hmac(prk, concat([length >> 8, length & 255], VERSION, suite, utf8(label), info, [1]))).slice(0, length);

/** The uncompressed point. @param {Jwk} jwk */
const point = (jwk) => concat([4], unb64u(jwk.x), unb64u(jwk.y));

/**
 * `enc ‖ ct`. `ephemeral` is for the published vectors; without it every call makes its own.
 * @param {Jwk} recipient @param {Uint8Array<ArrayBuffer>} info @param {Uint8Array<ArrayBuffer>} plaintext @param {{key: CryptoKey, jwk: Jwk}} [ephemeral]
 */
export async function hpkeSeal(recipient, info, plaintext, ephemeral) {
  const own = ephemeral ?? (await fresh());
  const theirs = await subtle.importKey("jwk", publicJwk(recipient), ECDH, false, []);
  const shared = new Uint8Array(await subtle.deriveBits({ name: "ECDH", public: theirs }, own.key, 256));
  const enc = point(own.jwk);
  const prk0 = await extract(KEM, NOTHING, "eae_prk", shared);
  const secret = await expand(KEM, prk0, "shared_secret", concat(enc, point(recipient)), 32);
  const context = concat([0], await extract(SUITE, NOTHING, "psk_id_hash", NOTHING), await extract(SUITE, NOTHING, "info_hash", info));
  const prk = await extract(SUITE, secret, "secret", NOTHING);
  const [key, iv] = [await expand(SUITE, prk, "key", context, 32), await expand(SUITE, prk, "base_nonce", context, 12)];
  const aes = await subtle.importKey("raw", key, "AES-GCM", false, ["encrypt"]);
  return concat(enc, new Uint8Array(await subtle.encrypt({ name: "AES-GCM", iv }, aes, plaintext)));
}

async function fresh() {
  const pair = await subtle.generateKey(ECDH, false, ["deriveBits"]);
  return { key: pair.privateKey, jwk: /** @type {Jwk} */ (await subtle.exportKey("jwk", pair.publicKey)) };
}

/** 64 bytes: two fields of {length, ASCII digits, zeros to 32}. @param {Uint8Array<ArrayBuffer>} pin ASCII digits. @param {Uint8Array<ArrayBuffer>} [newPin] */
export function pinPlaintext(pin, newPin = NOTHING) {
  const out = new Uint8Array(64);
  [pin, newPin].forEach((digits, field) => {
    if (digits.length > 31) throw new Error("a PIN has at most 31 digits");
    out[32 * field] = digits.length;
    out.set(digits, 32 * field + 1);
  });
  return out;
}

/** @param {string} sealingId @param {string} credential @param {Uint8Array<ArrayBuffer>} boundTo Challenge, or SHA-256 of the voucher. */
export const pinInfo = (sealingId, credential, boundTo) =>
  concat(utf8("hoatoc-pin-v1"), unb64u(sealingId), unb64u(credential), boundTo);

/**
 * The key that PINs are sealed to, once its statement holds: by the identity key whose thumbprint came with the pairing link.
 * Throws otherwise; then no PIN may be asked.
 * @param {{statement: string, identity: Jwk}} grant @param {string} pinned @param {number} nowUs
 */
export async function verifyStatement({ statement, identity }, pinned, nowUs) {
  if (!pinned || (await thumbprint(identity)) !== pinned) throw new Error("another signer");
  const payload = await verifyJws(statement, "hoatoc-sealing-key+jws", identity);
  if (payload.v !== 1 || payload.id !== (await digest(point(payload.key))) || payload.not_after < nowUs) throw new Error("sealing key");
  return { key: /** @type {Jwk} */ (payload.key), id: /** @type {string} */ (payload.id) };
}

/**
 * @param {{pin: Uint8Array<ArrayBuffer>, newPin?: Uint8Array<ArrayBuffer>, sealing: {key: Jwk, id: string}, credential: string, challenge?: string, voucher?: string}} given
 *   Exactly one of `challenge` and `voucher`.
 */
export async function sealPin({ pin, newPin, sealing, credential, challenge, voucher }) {
  if (!challenge === !voucher) throw new Error("bind the PIN to a challenge or to a voucher");
  const boundTo = challenge ? unb64u(challenge) : await sha256(utf8(voucher ?? ""));
  const plaintext = pinPlaintext(pin, newPin);
  try {
    return await hpkeSeal(sealing.key, pinInfo(sealing.id, credential, boundTo), plaintext);
  } finally {
    plaintext.fill(0);
  }
}

/**
 * The new PINs that the signer surely refuses (A9); it has the last word, with lists that are not here.
 * @param {string} digits
 */
export function guessable(digits) {
  const size = digits.length;
  const constantStep = (/** @type {string} */ text) =>
    new Set([...text].slice(1).map((digit, index) => (+digit - +text[index] + 10) % 10)).size <= 1;
  if (constantStep(digits)) return true;
  for (let block = 1; block <= size / 2; block++) if (digits.slice(0, block).repeat(size).slice(0, size) === digits) return true;
  return /^(?:(\d)\1)+$/.test(digits) || (size >= 6 && constantStep(digits.slice(0, size >> 1)) && constantStep(digits.slice(size >> 1)));
}
