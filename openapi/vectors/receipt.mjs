// Checks receipts offline with WebCrypto alone (Node 20, no packages). Run: node openapi/vectors/receipt.mjs
// Not judged here: validity periods and names of certificates, and revocation. `hoatoc verify` does more.
import { readFileSync } from "node:fs";
const { subtle } = globalThis.crypto;

const utf8 = new TextEncoder();
const b64u = (bytes) => Buffer.from(bytes).toString("base64url");
const hex = (bytes) => Buffer.from(bytes).toString("hex");
const concat = (...parts) => new Uint8Array(Buffer.concat(parts.map((part) => Buffer.from(part))));
const same = (a, b) => hex(a) === hex(b);
const sha256 = async (bytes) => new Uint8Array(await subtle.digest("SHA-256", bytes));
const unb64u = (text, length) => {
  const bytes = new Uint8Array(Buffer.from(text, "base64url"));
  if (b64u(bytes) !== text || (length !== undefined && bytes.length !== length)) throw new Error("not canonical base64url");
  return bytes;
};
const check = (holds, code) => {
  if (!holds) throw new Error(code);
};

// JWS, ES256, header exactly {alg, typ, kid} -----------------------------------------------------------------------
const thumbprint = async ({ crv, kty, x, y }) => b64u(await sha256(utf8.encode(JSON.stringify({ crv, kty, x, y }))));

async function verifyJws(text, typ, jwk, order, code) {
  const parts = text.split(".");
  check(parts.length === 3, code);
  const [head, payload, signature] = parts.map((part) => unb64u(part));
  check(Buffer.from(head).toString() === JSON.stringify({ alg: "ES256", typ, kid: await thumbprint(jwk) }), code);
  const { crv, kty, x, y } = jwk;
  const key = await subtle.importKey("jwk", { crv, kty, x, y }, { name: "ECDSA", namedCurve: "P-256" }, false, ["verify"]);
  const input = utf8.encode(`${parts[0]}.${parts[1]}`);
  check(signature.length === 64 && (await subtle.verify({ name: "ECDSA", hash: "SHA-256" }, key, signature, input)), code);
  const raw = Buffer.from(payload).toString();
  const value = JSON.parse(raw);
  check(JSON.stringify(Object.fromEntries(order.map((name) => [name, value[name]]))) === raw, code);
  return value;
}

// RFC 9162 §2.1.3.2 ------------------------------------------------------------------------------------------------
async function rootFrom(leaf, index, size, proof) {
  const node = (left, right) => sha256(concat([1], left, right));
  check(Number.isSafeInteger(index) && index >= 0 && index < size, "leaf-not-included");
  let [number, last] = [index, size - 1];
  let found = await sha256(concat([0], leaf));
  for (const step of proof) {
    check(last !== 0, "leaf-not-included");
    if (number % 2 === 1 || number === last) {
      found = await node(step, found);
      while (number % 2 === 0 && number !== 0) [number, last] = [number / 2, Math.floor(last / 2)];
    } else found = await node(found, step);
    [number, last] = [Math.floor(number / 2), Math.floor(last / 2)];
  }
  check(last === 0, "leaf-not-included");
  return found;
}

// DER --------------------------------------------------------------------------------------------------------------
function element(data, at = 0) {
  let length = data[at + 1];
  let start = at + 2;
  if (length & 0x80) {
    const count = length & 0x7f;
    length = data.subarray(start, start + count).reduce((sum, byte) => sum * 256 + byte, 0);
    start += count;
  }
  const end = start + length;
  if (!(end <= data.length)) throw new Error("cut off");
  return { tag: data[at], raw: data.subarray(at, end), body: data.subarray(start, end), end };
}
function children({ body }) {
  const found = [];
  for (let at = 0; at < body.length; ) {
    const next = element(body, at);
    found.push(next);
    at = next.end;
  }
  return found;
}
const OID = {
  messageDigest: "2a864886f70d010904",
  signingCertificate: "2a864886f70d010910020c", // with SHA-1, as RFC 3161 time stamps still have it
  signingCertificateV2: "2a864886f70d010910022f",
  timeStampToken: "2a864886f70d010910020e",
  ecKey: "2a8648ce3d0201",
};
const attribute = (attributes, oid) => {
  const found = children(attributes).map(children).filter(([type]) => hex(type.body) === OID[oid]);
  return found.length === 1 ? children(found[0][1])[0] : undefined;
};

function certificate(raw) {
  const [tbs, , signature] = children(element(raw));
  const spki = children(tbs).filter(({ tag }) => tag === 0x30)[4];
  return { raw, tbs: tbs.raw, signature: signature.body.subarray(1), spki: spki.raw };
}

async function verifyWith(spki, signature, data) {
  const isEc = hex(children(children(element(spki))[0])[0].body) === OID.ecKey;
  if (!isEc) {
    const algorithm = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" };
    return subtle.verify(algorithm, await subtle.importKey("spki", spki, algorithm, false, ["verify"]), signature, data);
  }
  const key = await subtle.importKey("spki", spki, { name: "ECDSA", namedCurve: "P-256" }, false, ["verify"]);
  const numbers = children(element(signature)).map(({ body }) => Buffer.from(body).toString("hex").replace(/^00/, "").padStart(64, "0"));
  return subtle.verify({ name: "ECDSA", hash: "SHA-256" }, key, Buffer.from(numbers.join(""), "hex"), data);
}

/** One SignedData: its content's digest, the signed attributes, the certificate by its hash, one step to a root. */
async function signedData(der, digest, root, codes) {
  const content = element(der);
  const parts = children(children(children(content)[1])[0]);
  const certificates = children(parts.find(({ tag }) => tag === 0xa0)).map(({ raw }) => certificate(raw));
  const info = children(children(parts.at(-1))[0]);
  const attributes = info.find(({ tag }) => tag === 0xa0);
  check(same(attribute(attributes, "messageDigest").body, await digest(parts[2])), codes.content);
  const second = attribute(attributes, "signingCertificateV2");
  const named = second ?? attribute(attributes, "signingCertificate");
  check(named !== undefined, codes.signature);
  let own;
  for (const one of certificates) {
    const wanted = await subtle.digest(second ? "SHA-256" : "SHA-1", one.raw);
    if (hex(named.raw).includes(hex(wanted))) own = one;
  }
  check(own !== undefined, codes.signature);
  const signature = info.filter(({ tag }) => tag === 0x04).at(-1).body;
  const signed = concat([0x31], attributes.raw.subarray(1));
  check(await verifyWith(own.spki, signature, signed), codes.signature);
  check(await verifyWith(root.spki, own.signature, own.tbs), codes.chain);
  return { signature, unsigned: info.find(({ tag }) => tag === 0xa1), info: parts[2] };
}

async function verifyStamp(unsigned, signature, root) {
  check(unsigned !== undefined, "timestamp-missing");
  const token = attribute(unsigned, "timeStampToken").raw;
  const info = (inside) => children(children(inside)[1])[0];
  const codes = { content: "timestamp-wrong", signature: "timestamp-wrong", chain: "timestamp-untrusted" };
  const found = await signedData(token, (inside) => sha256(info(inside).body), root, codes);
  const stamped = children(children(element(info(found.info).body))[2])[1].body;
  check(same(stamped, await sha256(signature)), "timestamp-wrong");
}

// The receipt ------------------------------------------------------------------------------------------------------
const HEAD = ["v", "sequence", "log_size", "root", "sum", "time"];
const APPROVAL = ["v", "kind", "challenge", "organisation", "credential", "device", "items", "pin_sha256", "voucher_sha256"];
const SIGNED = ["document.initialed", "document.signed", "document.co_signed", "document.sealed", "document.sealed_pending_archive"];

/** Throws an Error whose message is the code of the first broken link. */
export async function verifyReceipt(receipt, root, logKey) {
  check((await thumbprint(receipt.log_key)) === logKey || !logKey, "log-key-differs");
  const head = await verifyJws(receipt.head, "hoatoc-head+jws", receipt.log_key, HEAD, "head-not-signed");
  check(head.v === 1 && head.log_size === receipt.log_size, "head-other-size");
  const leaf = unb64u(receipt.leaf);
  const found = await rootFrom(leaf, receipt.position, receipt.log_size, receipt.proof.map((step) => unb64u(step, 32)));
  check(same(found, unb64u(head.root, 32)), "leaf-not-included");

  const event = JSON.parse(Buffer.from(leaf).toString());
  const cms = unb64u(receipt.cms);
  check(SIGNED.includes(event.kind), "event-other-kind");
  check(event.subject === receipt.document, "event-other-document");
  const named = {
    tbs: receipt.tbs,
    manifest: receipt.manifest,
    revision: receipt.revision,
    approval: hex(await sha256(utf8.encode(receipt.approval))),
    cms: hex(await sha256(cms)),
  };
  for (const [name, value] of Object.entries(named)) check(event.body[name] === value, `event-other-${name}`);

  const approval = await verifyJws(receipt.approval, "hoatoc-approval+jws", receipt.approval_key, APPROVAL, "approval-not-signed");
  check(approval.v === 1 && approval.kind === "document", "approval-other-kind");
  check(approval.device === (await thumbprint(receipt.approval_key)), "approval-other-device");
  const items = approval.items.map(({ tbs, manifest }) => hex(unb64u(tbs, 32)) + hex(unb64u(manifest, 32)));
  check(items.includes(receipt.tbs + receipt.manifest), "approval-other-document");
  check(approval.challenge === event.body.challenge && approval.credential === event.body.credential, "approval-other-activation");

  const codes = { content: "content-changed", signature: "signature-wrong", chain: "no-chain" };
  const { signature, unsigned } = await signedData(cms, () => Buffer.from(receipt.tbs, "hex"), root, codes);
  await verifyStamp(unsigned, signature, root);
}

const vectors = JSON.parse(readFileSync(new URL("receipt.json", import.meta.url), "utf8"));
const root = certificate(new Uint8Array(Buffer.from(vectors.trust.replace(/-----[^-]+-----|\s/g, ""), "base64")));
await verifyReceipt(vectors.receipt, root, vectors.log_key);
let wrong = 0;
for (const { why, code, change } of vectors.invalid) {
  const receipt = { ...vectors.receipt, ...change };
  // The log's key is pinned only for the valid one: a receipt with a key of its own must fail by its head.
  const outcome = await verifyReceipt(receipt, root, "").then(() => "passed", (error) => error.message);
  if (outcome !== code) {
    wrong += 1;
    console.error(`wrong: ${why}: ${outcome} instead of ${code}`);
  }
}
if (!vectors.invalid.length || wrong) process.exit(1);
console.log(`receipt vectors agree: 1 valid, ${vectors.invalid.length} invalid`);
