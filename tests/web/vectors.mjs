// Runs in the page, over the client's own modules: every published vector must come out, every invalid one must be refused.
export async function run(vectors) {
  const [codec, jose, pin, manifest] = [await $codec, await $jose, await $pin, await $manifest];
  const { b64u, digest, hex, unb64u, utf8 } = codec;
  const { subtle } = crypto;
  const wrong = [];
  let cases = 0;
  const same = (found, wanted, what) => {
    cases++;
    if (found !== wanted) wrong.push(`${what}: ${found} instead of ${wanted}`);
  };
  const refused = async (attempt, what) => {
    cases++;
    try {
      await attempt();
    } catch {
      return;
    }
    wrong.push(`accepted: ${what}`);
  };
  const ECDSA = { name: "ECDSA", namedCurve: "P-256" };
  const privateKey = ({ kty, crv, x, y, d }, algorithm, usages) => subtle.importKey("jwk", { kty, crv, x, y, d }, algorithm, false, usages);

  for (const [name, typ] of [["approval", "hoatoc-approval+jws"], ["voucher", "hoatoc-voucher+jws"], ["signed_head", "hoatoc-head+jws"]]) {
    const vector = vectors[name];
    const payload = await jose.verifyJws(vector.jws, typ, vector.key);
    if (vector.payload) same(JSON.stringify(payload), JSON.stringify(vector.payload), name);
    for (const { why, jws } of vector.invalid) await refused(() => jose.verifyJws(jws, typ, vector.key), `${name}: ${why}`);
  }
  const { approval, voucher, sealed_pin: sealed, dpop } = vectors;
  same(await jose.thumbprint(approval.key), approval.thumbprint, "thumbprint");
  same(await digest(utf8(approval.manifest)), approval.manifest_sha256, "manifest digest");
  same(await digest(utf8(voucher.jws)), voucher.voucher_sha256, "voucher digest");
  const own = await privateKey(approval.private_key, ECDSA, ["sign"]);
  const again = await jose.signJws(approval.payload, "hoatoc-approval+jws", own, approval.thumbprint);
  same(again.split(".").slice(0, 2).join("."), approval.jws.split(".").slice(0, 2).join("."), "approval's own encoding");
  await jose.verifyJws(again, "hoatoc-approval+jws", approval.key);

  const now = Date.now() * 1000;
  const statement = await jose.verifyJws(sealed.statement, "hoatoc-sealing-key+jws", sealed.identity);
  const grant = { statement: sealed.statement, identity: sealed.identity };
  const early = Math.min(now, statement.not_after - 1);
  const key = await pin.verifyStatement(grant, sealed.identity_thumbprint, early);
  same(key.id, sealed.sealing_key_id, "sealing key id");
  await refused(() => pin.verifyStatement(grant, approval.thumbprint, early), "a statement of another signer");
  await refused(() => pin.verifyStatement(grant, "", early), "a statement without a pinned signer");
  await refused(() => pin.verifyStatement(grant, sealed.identity_thumbprint, statement.not_after + 1), "an ended statement");
  const plaintext = pin.pinPlaintext(utf8(sealed.pin));
  same(b64u(plaintext), sealed.plaintext, "plaintext");
  const info = pin.pinInfo(key.id, sealed.credential, unb64u(sealed.challenge));
  same(b64u(info), sealed.info, "info");
  const ephemeral = { key: await privateKey(sealed.ephemeral_private_key, { name: "ECDH", namedCurve: "P-256" }, ["deriveBits"]), jwk: sealed.ephemeral_private_key };
  const box = await pin.hpkeSeal(key.key, info, plaintext, ephemeral);
  same(b64u(box), sealed.sealed, "sealed PIN");
  same(await digest(box), sealed.sealed_sha256, "digest of the sealed PIN");

  for (const one of vectors.manifest.cases) {
    let found = false;
    try {
      const bytes = utf8(one.bytes);
      const read = await manifest.read(bytes);
      found = read.digest === one.digest && hex(await codec.sha256(bytes)) === one.digest;
    } catch {
      found = false;
    }
    same(found, one.valid, `manifest: ${one.name}`);
  }

  same(await jose.shortCode(dpop.thumbprint), dpop.short_code, "short code");
  const pair = await subtle.generateKey(ECDSA, false, ["sign", "verify"]);
  const jwk = jose.publicJwk(await subtle.exportKey("jwk", pair.publicKey));
  const token = "hta_sample";
  const proof = await jose.dpop({ key: pair.privateKey, jwk }, { method: "POST", url: "https://sign.example/api/v1/people", token, now: dpop.now });
  return { cases, wrong, proof, token, now: dpop.now, thumbprint: await jose.thumbprint(jwk) };
}
