// Checks dpop.json with WebCrypto alone, as a browser or any other client can, and prints one JSON line with a proof of its own.
// A "good" case must verify; a refused one must break the rule that it names. Run: node dpop.mjs
import { readFileSync } from "node:fs";

const { subtle } = globalThis.crypto;
const vectors = JSON.parse(readFileSync(new URL("./dpop.json", import.meta.url)));
const utf8 = new TextEncoder();
const b64u = (bytes) => Buffer.from(bytes).toString("base64url");
const bytes = (text) => new Uint8Array(Buffer.from(text, "base64url"));
const sha256 = async (text) => new Uint8Array(await subtle.digest("SHA-256", utf8.encode(text)));
const ES256 = { name: "ECDSA", hash: "SHA-256" };
const P256 = { name: "ECDSA", namedCurve: "P-256" };

async function thumbprint({ crv, kty, x, y }) {
  return b64u(await sha256(JSON.stringify({ crv, kty, x, y })));
}

function base32(raw) {
  let bits = "";
  for (const byte of raw) bits += byte.toString(2).padStart(8, "0");
  return bits.match(/.{5}/g).map((five) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[parseInt(five, 2)]).join("");
}

function object(segment) {
  const text = Buffer.from(segment, "base64url").toString("utf8");
  const value = JSON.parse(text);
  // JSON.parse keeps the last of two equal names; an honest encoder's text has as many names as the value.
  const names = (v) => (v && typeof v === "object" && !Array.isArray(v) ? Object.values(v).reduce((n, each) => n + names(each), Object.keys(v).length) : 0);
  return { value, duplicate: (text.match(/"[^"]*"\s*:/g) || []).length !== names(value) };
}

async function check(item) {
  const segments = item.proof.split(".");
  if (segments.length !== 3 || segments.some((each) => !/^[A-Za-z0-9_-]+$/.test(each) || b64u(bytes(each)) !== each)) return "form";
  const header = object(segments[0]);
  const { typ, alg, jwk } = header.value;
  if (header.duplicate || Object.keys(header.value).sort().join() !== "alg,jwk,typ" || typ !== "dpop+jwt" || alg !== "ES256") return "header";
  if (Object.keys(jwk).some((name) => !["kty", "crv", "x", "y", "alg", "use", "kid", "key_ops", "ext"].includes(name))) return "key";
  const key = await subtle.importKey("jwk", { kty: jwk.kty, crv: jwk.crv, x: jwk.x, y: jwk.y }, P256, true, ["verify"]);
  if (!(await subtle.verify(ES256, key, bytes(segments[2]), utf8.encode(segments[0] + "." + segments[1])))) return "signature";
  const claims = object(segments[1]);
  const { jti, iat, htm, htu, ath } = claims.value;
  if (claims.duplicate || typeof jti !== "string" || !Number.isInteger(iat)) return "claims";
  if (htm !== item.method) return "method";
  const url = new URL(htu);
  if (url.origin + url.pathname !== item.url) return "target";
  if (Math.abs(iat - vectors.now) > 60) return "time";
  if (item.access_token !== null && ath !== b64u(await sha256(item.access_token))) return "token";
  return (await thumbprint(jwk)) === item.thumbprint ? null : "thumbprint";
}

let wrong = 0;
for (const item of vectors.cases) {
  const found = await check(item);
  if (found !== item.refused) {
    wrong += 1;
    console.log(`${item.name}: ${found} instead of ${item.refused}`);
  }
}

const code = base32((await sha256(vectors.thumbprint)).slice(0, 5));
if (`${code.slice(0, 4)}-${code.slice(4)}` !== vectors.short_code) {
  wrong += 1;
  console.log("the short code differs");
}

// A proof made here, for the server's side to verify: the key pair is not extractable, as in a browser.
const pair = await subtle.generateKey(P256, false, ["sign", "verify"]);
const jwk = await subtle.exportKey("jwk", pair.publicKey);
const [url, token] = ["https://sign.example/api/v1/people", "hta_" + b64u(globalThis.crypto.getRandomValues(new Uint8Array(32)))];
const header = { typ: "dpop+jwt", alg: "ES256", jwk };
const claims = { jti: globalThis.crypto.randomUUID(), htm: "POST", htu: url, iat: vectors.now, ath: b64u(await sha256(token)) };
const input = b64u(utf8.encode(JSON.stringify(header))) + "." + b64u(utf8.encode(JSON.stringify(claims)));
const proof = input + "." + b64u(await subtle.sign(ES256, pair.privateKey, utf8.encode(input)));
console.log(JSON.stringify({ cases: vectors.cases.length, wrong, proof, url, access_token: token, now: vectors.now, thumbprint: await thumbprint(jwk) }));
process.exit(wrong ? 1 : 0);
