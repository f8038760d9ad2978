// Passes the signer's vectors with WebCrypto alone (Node 20, no packages), and acts as a phone for tests:
//   node check.mjs                 verify every vector beside this file
//   node check.mjs produce < JSON  seal a PIN and sign an approval; prints {approval, sealed_pin} (base64url)
import { readFileSync } from "node:fs";
import { webcrypto } from "node:crypto";

const { subtle } = webcrypto;
const text = new TextEncoder();
const utf8 = new TextDecoder("utf-8", { fatal: true });

export const b64u = (bytes) => Buffer.from(bytes).toString("base64url");
export const unb64u = (s) => {
  const bytes = new Uint8Array(Buffer.from(s, "base64url"));
  if (b64u(bytes) !== s) throw new Error("not canonical base64url");
  return bytes;
};
const concat = (...parts) => new Uint8Array(Buffer.concat(parts.map((p) => Buffer.from(p))));
const sha256 = async (bytes) => new Uint8Array(await subtle.digest("SHA-256", bytes));
const digest = async (bytes) => b64u(await sha256(bytes));
const P256 = { name: "ECDSA", namedCurve: "P-256" };
const ES256 = { name: "ECDSA", hash: "SHA-256" };

const publicJwk = ({ crv, kty, x, y }) => ({ crv, kty, x, y });
export const thumbprint = (jwk) => digest(text.encode(JSON.stringify(publicJwk(jwk))));

// JWS: header exactly {alg, typ, kid}; the payload, parsed into `order`, must be its own encoding. -------------------
const ORDER = {
  "hoatoc-approval+jws": ["v", "kind", "challenge", "organisation", "credential", "device", "items", "pin_sha256", "voucher_sha256"],
  "hoatoc-voucher+jws": ["v", "kind", "organisation", "person", "credential", "key_type", "subject", "approval_key", "pin_forbidden", "not_after", "nonce"],
  "hoatoc-sealing-key+jws": ["v", "key", "id", "not_after"],
  "hoatoc-head+jws": ["v", "sequence", "log_size", "root", "sum", "time"],
};
const ordered = (value, order) => Object.fromEntries(order.map((name) => [name, value[name]]));

export async function verifyJws(jws, typ, jwk) {
  const parts = jws.split(".");
  if (parts.length !== 3) throw new Error("not compact");
  const [head, payload, signature] = parts.map(unb64u);
  const kid = await thumbprint(jwk);
  if (utf8.decode(head) !== JSON.stringify({ alg: "ES256", typ, kid })) throw new Error("header");
  const key = await subtle.importKey("jwk", publicJwk(jwk), P256, false, ["verify"]);
  const input = text.encode(parts.slice(0, 2).join("."));
  if (signature.length !== 64 || !(await subtle.verify(ES256, key, signature, input))) throw new Error("signature");
  const raw = utf8.decode(payload);
  const value = JSON.parse(raw);
  if (JSON.stringify(ordered(value, ORDER[typ])) !== raw) throw new Error("payload is not its own encoding");
  return value;
}

export async function signJws(payload, typ, privateJwk) {
  const key = await subtle.importKey("jwk", privateJwk, P256, false, ["sign"]);
  const header = { alg: "ES256", typ, kid: await thumbprint(privateJwk) };
  const input = [header, ordered(payload, ORDER[typ])].map((part) => b64u(text.encode(JSON.stringify(part)))).join(".");
  return `${input}.${b64u(await subtle.sign(ES256, key, text.encode(input)))}`;
}

// HPKE base mode, RFC 9180: DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM. --------------------------------------
const KEM = concat(text.encode("KEM"), [0, 0x10]);
const SUITE = concat(text.encode("HPKE"), [0, 0x10, 0, 1, 0, 2]);
const VERSION = text.encode("HPKE-v1");

async function hmac(key, data) {
  const k = await subtle.importKey("raw", key, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return new Uint8Array(await subtle.sign("HMAC", k, data));
}
const extract = (suite, salt, label, ikm) =>
  hmac(salt.length ? salt : new Uint8Array(32), concat(VERSION, suite, text.encode(label), ikm));
const expand = async (suite, prk, label, info, length) =>
  (await hmac(prk, concat([length >> 8, length & 255], VERSION, suite, text.encode(label), info, [1]))).slice(0, length);
const point = (jwk) => concat([4], unb64u(jwk.x), unb64u(jwk.y));
const ECDH = { name: "ECDH", namedCurve: "P-256" };

async function keyAndNonce(shared, enc, recipientPoint, info) {
  const prk0 = await extract(KEM, [], "eae_prk", shared);
  const secret = await expand(KEM, prk0, "shared_secret", concat(enc, recipientPoint), 32);
  const context = concat([0], await extract(SUITE, [], "psk_id_hash", []), await extract(SUITE, [], "info_hash", info));
  const prk = await extract(SUITE, secret, "secret", []);
  return [await expand(SUITE, prk, "key", context, 32), await expand(SUITE, prk, "base_nonce", context, 12)];
}

export async function hpkeSeal(recipient, info, plaintext, ephemeral) {
  const own = ephemeral ?? (await subtle.exportKey("jwk", (await subtle.generateKey(ECDH, true, ["deriveBits"])).privateKey));
  const secretKey = await subtle.importKey("jwk", { ...publicJwk(own), d: own.d }, ECDH, false, ["deriveBits"]);
  const theirs = await subtle.importKey("jwk", publicJwk(recipient), ECDH, false, []);
  const shared = new Uint8Array(await subtle.deriveBits({ name: "ECDH", public: theirs }, secretKey, 256));
  const [key, iv] = await keyAndNonce(shared, point(own), point(recipient), info);
  const aes = await subtle.importKey("raw", key, "AES-GCM", false, ["encrypt"]);
  return concat(point(own), new Uint8Array(await subtle.encrypt({ name: "AES-GCM", iv }, aes, plaintext)));
}

export async function hpkeOpen(privateJwk, info, sealed) {
  const enc = sealed.slice(0, 65);
  const secretKey = await subtle.importKey("jwk", privateJwk, ECDH, false, ["deriveBits"]);
  const theirs = await subtle.importKey("raw", enc, ECDH, false, []);
  const shared = new Uint8Array(await subtle.deriveBits({ name: "ECDH", public: theirs }, secretKey, 256));
  const [key, iv] = await keyAndNonce(shared, enc, point(privateJwk), info);
  const aes = await subtle.importKey("raw", key, "AES-GCM", false, ["decrypt"]);
  return new Uint8Array(await subtle.decrypt({ name: "AES-GCM", iv }, aes, sealed.slice(65)));
}

export function pinPlaintext(pin, newPin = "") {
  const out = new Uint8Array(64);
  [pin, newPin].forEach((digits, field) => {
    out[32 * field] = digits.length;
    out.set(text.encode(digits), 32 * field + 1);
  });
  return out;
}

const pinInfo = (sealingId, credential, boundTo) =>
  concat(text.encode("hoatoc-pin-v1"), unb64u(sealingId), unb64u(credential), boundTo);

// What a phone does with a challenge (or, for a join, with a voucher). --------------------------------------------------
async function produce(input) {
  const statement = await verifyJws(input.statement, "hoatoc-sealing-key+jws", input.identity);
  if ((await thumbprint(input.identity)) !== input.identity_thumbprint) throw new Error("another signer");
  if (statement.id !== (await digest(point(statement.key)))) throw new Error("another sealing key");
  const bound = input.challenge ? unb64u(input.challenge) : await sha256(text.encode(input.voucher));
  const info = pinInfo(statement.id, input.credential, bound);
  const sealed = await hpkeSeal(statement.key, info, pinPlaintext(input.pin, input.new_pin ?? ""));
  const approval = await signJws(
    {
      v: 1,
      kind: input.kind,
      challenge: input.challenge ?? "",
      organisation: input.organisation,
      credential: input.credential,
      device: await thumbprint(input.private_key),
      items: input.items ?? [],
      pin_sha256: await digest(sealed),
      voucher_sha256: input.voucher ? await digest(text.encode(input.voucher)) : "",
    },
    "hoatoc-approval+jws",
    input.private_key,
  );
  return { approval, sealed_pin: b64u(sealed) };
}

// The vectors. -----------------------------------------------------------------------------------------------------------
const read = (name) => JSON.parse(readFileSync(new URL(`${name}.json`, import.meta.url), "utf8"));
const same = (a, b, what) => {
  if (a !== b) throw new Error(`${what}: ${a} is not ${b}`);
};
const refused = async (attempt, why) => {
  try {
    await attempt();
  } catch {
    return;
  }
  throw new Error(`accepted: ${why}`);
};

async function checkJws(name, typ) {
  const vector = read(name);
  const payload = await verifyJws(vector.jws, typ, vector.key);
  if (vector.payload) same(JSON.stringify(payload), JSON.stringify(vector.payload), name);
  for (const { why, jws } of vector.invalid) await refused(() => verifyJws(jws, typ, vector.key), `${name}: ${why}`);
  return vector;
}

async function checkAll() {
  const approval = await checkJws("approval", "hoatoc-approval+jws");
  same(await thumbprint(approval.key), approval.thumbprint, "thumbprint");
  same(await digest(text.encode(approval.manifest)), approval.manifest_sha256, "manifest digest");
  same(await digest(text.encode(approval.jws)), approval.jws_sha256, "jws digest");
  const bits = [...unb64u(await digest(text.encode(approval.thumbprint))).slice(0, 5)].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  const code = bits.match(/.{5}/g).map((five) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[parseInt(five, 2)]).join("");
  same(`${code.slice(0, 4)}-${code.slice(4)}`, approval.short_code, "short code");
  const again = await signJws(approval.payload, "hoatoc-approval+jws", approval.private_key);
  await verifyJws(again, "hoatoc-approval+jws", approval.key);
  const voucher = await checkJws("voucher", "hoatoc-voucher+jws");
  same(await digest(text.encode(voucher.jws)), voucher.voucher_sha256, "voucher digest");
  await checkJws("signed_head", "hoatoc-head+jws");

  const pin = read("sealed_pin");
  const statement = await verifyJws(pin.statement, "hoatoc-sealing-key+jws", pin.identity);
  same(await thumbprint(pin.identity), pin.identity_thumbprint, "identity");
  same(statement.id, pin.sealing_key_id, "sealing key id");
  same(await digest(point(statement.key)), pin.sealing_key_id, "sealing key's point");
  const info = pinInfo(statement.id, pin.credential, unb64u(pin.challenge));
  same(b64u(info), pin.info, "info");
  same(b64u(pinPlaintext(pin.pin)), pin.plaintext, "plaintext");
  const sealed = await hpkeSeal(statement.key, info, pinPlaintext(pin.pin), pin.ephemeral_private_key);
  same(b64u(sealed), pin.sealed, "sealed PIN");
  same(await digest(sealed), pin.sealed_sha256, "pin_sha256");
  same(b64u(await hpkeOpen(pin.sealing_private_key, info, sealed)), pin.plaintext, "opened PIN");
  for (const bad of pin.invalid)
    await refused(() => hpkeOpen(pin.sealing_private_key, unb64u(bad.info), unb64u(bad.sealed)), bad.why);
  console.log("vectors pass");
}

if (process.argv[2] === "produce") console.log(JSON.stringify(await produce(JSON.parse(readFileSync(0, "utf8")))));
else await checkAll();
