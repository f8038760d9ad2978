/**
 * Keys and signatures of a device: JWK thumbprints (RFC 7638), compact JWS with exactly {alg, typ, kid} and a payload that is its
 * own encoding, DPoP proofs (RFC 9449). WebCrypto only.
 *
 * @typedef {{kty: "EC", crv: "P-256", x: string, y: string}} Jwk A public key.
 */
import { b64u, digest, fromUtf8, random, sha256, unb64u, utf8 } from "./codec.js";

const { subtle } = crypto;
export const P256 = { name: "ECDSA", namedCurve: "P-256" };
const ES256 = { name: "ECDSA", hash: "SHA-256" };

/** The declared order of every signed payload is its wire order. @type {Record<string, string[]>} */
const ORDER = {
  "hoatoc-approval+jws": ["v", "kind", "challenge", "organisation", "credential", "device", "items", "pin_sha256", "voucher_sha256"],
  "hoatoc-voucher+jws": ["v", "kind", "organisation", "person", "credential", "key_type", "subject", "approval_key", "pin_forbidden", "not_after", "nonce"],
  "hoatoc-sealing-key+jws": ["v", "key", "id", "not_after"],
  "hoatoc-head+jws": ["v", "sequence", "log_size", "root", "sum", "time"],
  "hoatoc-grant+jws": ["v", "organisation", "form", "grantor", "holder", "line", "paper", "types", "urgency", "parent", "not_before", "not_after", "nonce"],
  "hoatoc-session+jws": ["v", "device", "session_key", "jti"],
};

/** @param {any} value @param {string} typ */
const ordered = (value, typ) => Object.fromEntries(ORDER[typ].map((name) => [name, value[name]]));

/** @param {any} jwk @returns {Jwk} */
export const publicJwk = ({ kty, crv, x, y }) => ({ kty, crv, x, y });

/** @param {Jwk} jwk @returns {Promise<string>} RFC 7638, base64url. */
export const thumbprint = ({ crv, kty, x, y }) => digest(utf8(JSON.stringify({ crv, kty, x, y })));

/**
 * The code that the registration officer compares with this screen: 40 bits over the thumbprint, base32, `XXXX-XXXX`.
 * @param {string} print @returns {Promise<string>}
 */
export async function shortCode(print) {
  let bits = "";
  for (const byte of (await sha256(utf8(print))).slice(0, 5)) bits += byte.toString(2).padStart(8, "0");
  const text = (bits.match(/.{5}/g) ?? []).map((five) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[parseInt(five, 2)]).join("");
  return `${text.slice(0, 4)}-${text.slice(4)}`;
}

/** @param {CryptoKey} key @param {string} input */
const sign = async (key, input) => b64u(await subtle.sign(ES256, key, utf8(input)));
/** @param {unknown} value */
const part = (value) => b64u(utf8(JSON.stringify(value)));

/**
 * @param {any} payload @param {string} typ @param {CryptoKey} key The private key; it need not be extractable.
 * @param {string} kid Its thumbprint. @returns {Promise<string>}
 */
export async function signJws(payload, typ, key, kid) {
  const input = `${part({ alg: "ES256", typ, kid })}.${part(ordered(payload, typ))}`;
  return `${input}.${await sign(key, input)}`;
}

/** The verified payload. Throws for another header, key, encoding or signature. @param {string} jws @param {string} typ @param {Jwk} jwk */
export async function verifyJws(jws, typ, jwk) {
  const parts = jws.split(".");
  if (parts.length !== 3) throw new Error("not compact");
  const [head, payload, signature] = parts.map(unb64u);
  if (fromUtf8(head) !== JSON.stringify({ alg: "ES256", typ, kid: await thumbprint(jwk) })) throw new Error("header");
  const key = await subtle.importKey("jwk", publicJwk(jwk), P256, false, ["verify"]);
  const input = utf8(parts.slice(0, 2).join("."));
  if (signature.length !== 64 || !(await subtle.verify(ES256, key, signature, input))) throw new Error("signature");
  return strict(payload, typ);
}

/** The payload of a JWS that somebody else verifies (a voucher: the signer does). @param {string} jws @param {string} typ */
export const peekJws = (jws, typ) => strict(unb64u(jws.split(".")[1] ?? ""), typ);

/** @param {Uint8Array<ArrayBuffer>} payload @param {string} typ */
function strict(payload, typ) {
  const raw = fromUtf8(payload);
  const value = JSON.parse(raw);
  if (JSON.stringify(ordered(value, typ)) !== raw) throw new Error("payload is not its own encoding");
  return value;
}

/**
 * @param {{key: CryptoKey, jwk: Jwk}} session @param {{method: string, url: string, token?: string, now: number, jti?: string}} call
 *   `now` in seconds by the server's clock, as far as it is known. @returns {Promise<string>}
 */
export async function dpop(session, { method, url, token, now, jti = random(16) }) {
  /** @type {Record<string, unknown>} */
  const claims = { jti, htm: method, htu: url, iat: Math.floor(now) };
  if (token) claims.ath = await digest(utf8(token));
  const input = `${part({ typ: "dpop+jwt", alg: "ES256", jwk: session.jwk })}.${part(claims)}`;
  return `${input}.${await sign(session.key, input)}`;
}
