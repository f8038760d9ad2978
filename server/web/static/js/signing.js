/**
 * What this device computes for the signer (signer.md): joins, approvals, a change of PIN. The PIN is asked only after the sealing
 * key's statement was checked against the signer that came with the pairing link.
 *
 * @typedef {{prepared: string, document: string, kind: string, unopened: number[], unopened_in: string, parent: string, tbs: string, manifest_digest: string, organisation: string, credential: string,
 *   subject: string, field: string, page: number, page_count: number, expires_at: string,
 *   certificate_status: {state: string, source: string, checked_at: string, signing_stops_at: string | null}}} Sheet
 */
import { call, now, Offline, pause, post, Problem, read, self } from "./api.js";
import { b64u, digest, unhex, utf8 } from "./codec.js";
import { peekJws, signJws, thumbprint } from "./jose.js";
import { Differs, read as readManifest } from "./manifest.js";
import { sealPin, verifyStatement } from "./pin.js";

/** The signer or the voucher is not what it should be: nothing was sent. */
export class Unsafe extends Error {}

/** @param {any} grant */
async function sealingKey(grant) {
  const me = await self();
  try {
    return await verifyStatement(grant, me?.signer ?? "", now() * 1000);
  } catch {
    throw new Unsafe("signer");
  }
}

/** @param {Record<string, unknown>} said @param {Uint8Array<ArrayBuffer>} sealed */
async function approval(said, sealed) {
  const { key, print } = /** @type {import("./store.js").Device} */ (await self()).approval;
  const payload = { v: 1, challenge: "", items: [], voucher_sha256: "", ...said, device: print, pin_sha256: await digest(sealed) };
  return { jws: await signJws(payload, "hoatoc-approval+jws", key, print), sealed_pin: b64u(sealed) };
}

/**
 * What a voucher says, once it names this device's own approval key. Its signature is the signer's to check.
 * @param {{voucher: string, credential: string}} waiting
 */
export async function voucherOf({ voucher, credential }) {
  const said = peekJws(voucher, "hoatoc-voucher+jws");
  const mine = (await self())?.approval.print;
  if ((await thumbprint(said.approval_key)) !== mine || said.credential !== credential) throw new Unsafe("voucher");
  return said;
}

/** Redeem a voucher with the first PIN. @param {{digest: string, voucher: string, credential: string}} waiting @param {Uint8Array<ArrayBuffer>} pin */
export async function enrol(waiting, pin) {
  const { voucher, credential } = waiting;
  const { organisation } = await voucherOf(waiting);
  const sealing = await sealingKey(await read("/api/v1/signer/sealing-key"));
  const sealed = await sealPin({ pin, sealing, credential, voucher });
  const said = { kind: "join", organisation, credential, voucher_sha256: await digest(utf8(voucher)) };
  const { jws, sealed_pin } = await approval(said, sealed);
  // The same voucher and join give the same answer, so a lost answer costs nothing.
  return post(`/api/v1/me/enrolments/${waiting.digest}`, { join: jws, sealed_pin }, { tries: 4 });
}

/** @param {string} credential @param {Uint8Array<ArrayBuffer>} pin @param {Record<string, unknown>} said @param {Uint8Array<ArrayBuffer>} [newPin] */
async function challenged(credential, pin, said, newPin) {
  const grant = await post(`/api/v1/credentials/${credential}/challenge`, undefined, { tries: 3 });
  const sealing = await sealingKey(grant);
  const sealed = await sealPin({ pin, newPin, sealing, credential, challenge: grant.challenge });
  return approval({ ...said, credential, challenge: grant.challenge }, sealed);
}

/**
 * Admit this device's key to a credential that the person signs with elsewhere: the officer's voucher and the person's present PIN.
 * @param {{digest: string, voucher: string, credential: string}} waiting @param {Uint8Array<ArrayBuffer>} pin
 */
export async function addDevice(waiting, pin) {
  const { organisation } = await voucherOf(waiting);
  const said = { kind: "add_device", organisation, voucher_sha256: await digest(utf8(waiting.voucher)) };
  const { jws, sealed_pin } = await challenged(waiting.credential, pin, said);
  await post(`/api/v1/me/enrolments/${waiting.digest}/device`, { approval: jws, sealed_pin });
}

/**
 * Hand a credential over to a further holder, whose own join waits at the server (SIG-8).
 * @param {{digest: string, voucher: string, credential: string}} waiting @param {Uint8Array<ArrayBuffer>} pin
 */
export async function handOver({ digest: name, voucher, credential }, pin) {
  const { organisation } = peekJws(voucher, "hoatoc-voucher+jws");
  const { jws, sealed_pin } = await challenged(credential, pin, { kind: "add_holder", organisation, voucher_sha256: await digest(utf8(voucher)) });
  await post(`/api/v1/me/handovers/${name}`, { approval: jws, sealed_pin });
}

/** @param {{credential: string, organisation: string, pin: Uint8Array<ArrayBuffer>, newPin: Uint8Array<ArrayBuffer>}} given */
export async function changePin({ credential, organisation, pin, newPin }) {
  const { jws, sealed_pin } = await challenged(credential, pin, { kind: "change_pin", organisation }, newPin);
  await post("/api/v1/me/pin", { approval: jws, sealed_pin });
}

/**
 * The approval sheet of a document whose revision `shown` was read on this screen, with the manifest that was checked against it.
 * @param {string} document @param {string} shown @returns {Promise<{sheet: Sheet, manifest: import("./manifest.js").Manifest}>}
 */
export async function openSheet(document, shown) {
  const sheet = /** @type {Sheet} */ (await post(`/api/v1/documents/${document}/sheet`, undefined, { tries: 3 }));
  const { manifest, digest: found } = await readManifest(await call("GET", `/api/v1/prepared/${sheet.prepared}/manifest`));
  const stamped = manifest.fields?.find((field) => field.state === "filled");
  if (
    found !== sheet.manifest_digest || manifest.tbs !== sheet.tbs || manifest.parent !== sheet.parent || sheet.parent !== shown ||
    sheet.document !== document || stamped?.page !== sheet.page || manifest.page_count !== sheet.page_count
  ) throw new Differs("sheet");
  return { sheet, manifest };
}

/**
 * One approval of one or several documents, all by the same credential: the signer signs every one of them or none.
 * @param {Sheet[]} sheets @param {Uint8Array<ArrayBuffer>} pin @returns {Promise<{approval: string, sealed_pin: string}>} Nothing is signed yet.
 */
export async function approve(sheets, pin) {
  const [{ credential, organisation }] = sheets;
  const items = sheets.map(({ tbs, manifest_digest: manifest }) => ({ tbs: b64u(unhex(tbs)), manifest: b64u(unhex(manifest)) }));
  const { jws, sealed_pin } = await challenged(credential, pin, { kind: "document", organisation, items });
  return { approval: jws, sealed_pin };
}

/**
 * How far each document of a sent approval is, asked again and again until all are settled or the screen is left.
 * @param {{approval: string}} body @param {AbortSignal} signal @param {(found: Map<string, Outcome>) => boolean} seen Gives whether all is settled.
 */
export async function follow({ approval }, signal, seen) {
  const { challenge } = peekJws(approval, "hoatoc-approval+jws");
  /** @type {Record<string, Outcome>} */
  const words = { signed: "signed", stamping: "stamping", not_signed: "open" };
  for (let gone = 0; !signal.aborted; await pause(600)) {
    try {
      const { documents } = await read(`/api/v1/approvals/${challenge}`, { signal });
      if (seen(new Map(documents.map((one) => [one.document, words[one.state] ?? "unknown"])))) return;
    } catch (error) {
      // Not there in several answers: it never arrived (`sendApproval` has waited until it could not any more).
      if (error instanceof Problem && error.status === 404 && ++gone > 6) return void seen(new Map());
    }
  }
}

/** @typedef {"signed" | "stamping" | "open" | "unknown"} Outcome */

/**
 * What became of this person's step, by the document alone. `stamping`: signed, the time stamp is awaited; `open`: not signed.
 * @param {any} document @param {number} position @returns {Outcome}
 */
export function outcomeOf(document, position) {
  const step = document.route.find((/** @type {any} */ one) => one.position === position);
  if (step?.state === "done") return "signed";
  // The step stays open until its stamp is there; that the signature was made, the document's state says.
  if (step?.state === "pending_timestamp" || (step?.state === "open" && document.state.endsWith("_pending_timestamp"))) return "stamping";
  return document.state === "signing" || document.state === "sealing" ? "unknown" : "open";
}

/**
 * Send an approval, as often as the network needs: its challenge is consumed once, so repeating cannot sign twice (A10).
 * Gives "sent" when the server said yes, "lost" when only the document can tell. Throws `Problem` for a refusal.
 * @param {{approval: string, sealed_pin: string}} body @param {() => void} waiting Called when an answer was lost.
 */
export async function sendApproval(body, waiting) {
  const end = Date.now() + 110_000; // a challenge lives 120 s
  for (let lost = false; ; lost = true) {
    try {
      await post("/api/v1/approvals", body, { tries: 1 });
      return "sent";
    } catch (error) {
      // A gateway's own words say nothing of what is behind it: the request may still arrive.
      if (error instanceof Problem && error.code !== "internal") {
        if (["outcome-pending", "outcome-unknown", "signer-unavailable"].includes(error.code)) return "lost";
        // After a lost answer these say that an earlier sending arrived: only the document knows how it ended.
        if (lost && ["approval-used", "prepared-expired", "not-your-turn", "conflict", "document-signing"].includes(error.code)) return "lost";
        throw error;
      }
      if (!(error instanceof Offline || error instanceof Problem)) throw error;
      waiting();
      // Once its challenge has ended no request of ours can sign any more, wherever it still is: what is not there then never comes.
      if (Date.now() > end) return pause(12_000).then(() => "lost");
      await pause(1500);
    }
  }
}
