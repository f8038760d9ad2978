/**
 * A receipt, checked link by link with WebCrypto alone, and a PDF, judged by the server; nothing of either is kept.
 * `server/verification.py` is the reference of what a receipt proves; `openapi/vectors/receipt.json` has one and every way to break it.
 */
import { call, read } from "./api.js";
import { concat, fromUtf8, hex, sha256, unb64u, utf8 } from "./codec.js";
import { frame, waiting, words } from "./frame.js";
import { thumbprint, verifyJws } from "./jose.js";
import { dateTime, language, t } from "./texts.js";
import { fill, h, icon, outside } from "./view.js";

const MOST_RECEIPT = 1 << 20;
const MOST_PDF = 100 << 20;
const LEAF = ["id", "organisation", "at_us", "kind", "actor", "subject", "body"];
const SIGNED = ["document.initialed", "document.signed", "document.co_signed", "document.sealed", "document.sealed_pending_archive"];

/** @typedef {{name: string, ok: boolean | null, detail: string}} Step `ok`: null where it was not judged here. */

/** RFC 9162 §2.1.3.2. @param {Uint8Array<ArrayBuffer>} leaf @param {number} index @param {number} size @param {string[]} proof */
async function rootOf(leaf, index, size, proof) {
  const node = (/** @type {Uint8Array<ArrayBuffer>} */ left, /** @type {Uint8Array<ArrayBuffer>} */ right) => sha256(concat([1], left, right));
  if (!Number.isSafeInteger(index) || index < 0 || index >= size || proof.length > 64) throw new Error("position");
  let [number, last] = [index, size - 1];
  let found = await sha256(concat([0], leaf));
  for (const step of proof.map(unb64u)) {
    if (step.length !== 32 || last === 0) throw new Error("proof");
    if (number % 2 || number === last) {
      found = await node(step, found);
      while (number % 2 === 0 && number !== 0) [number, last] = [number / 2, Math.floor(last / 2)];
    } else found = await node(found, step);
    [number, last] = [Math.floor(number / 2), Math.floor(last / 2)];
  }
  if (last !== 0) throw new Error("proof");
  return found;
}

/**
 * Every link of a receipt but the certificate's: that is for `hoatoc verify` and its trusted roots.
 * @param {any} receipt @param {string} [logKey] Thumbprint that the log's key must have. @returns {Promise<Step[]>}
 */
export async function verifyReceipt(receipt, logKey) {
  /** @type {Step[]} */
  const steps = [];
  const step = async (/** @type {string} */ name, /** @type {() => Promise<string | boolean>} */ act) => {
    const found = await act().catch(() => false);
    steps.push({ name, ok: found !== false, detail: typeof found === "string" ? found : "" });
  };
  const print = async () => thumbprint(receipt.log_key);
  await step("log", async () => (logKey === undefined || (await print()) === logKey) && print());
  /** @type {any} */
  let head;
  await step("head", async () => {
    head = await verifyJws(receipt.head, "hoatoc-head+jws", receipt.log_key);
    return head.log_size === receipt.log_size && dateTime(new Date(head.time / 1000).toISOString());
  });
  await step("place", async () => hex(await rootOf(unb64u(receipt.leaf), receipt.position, receipt.log_size, receipt.proof)) === hex(unb64u(head.root)) && `${receipt.position + 1}/${receipt.log_size}`);
  /** @type {any} */
  let event;
  await step("event", async () => {
    const text = fromUtf8(unb64u(receipt.leaf));
    event = JSON.parse(text);
    const { body } = event;
    if (JSON.stringify(event) !== text || Object.keys(event).join() !== LEAF.join() || !SIGNED.includes(event.kind)) return false;
    const same = event.subject === receipt.document && body.tbs === receipt.tbs && body.manifest === receipt.manifest && body.revision === receipt.revision
      && body.approval === hex(await sha256(utf8(receipt.approval))) && body.cms === hex(await sha256(unb64u(receipt.cms)));
    return same && dateTime(new Date(event.at_us / 1000).toISOString());
  });
  await step("approval", async () => {
    const said = await verifyJws(receipt.approval, "hoatoc-approval+jws", receipt.approval_key);
    return said.v === 1 && said.kind === "document" && said.device === (await thumbprint(receipt.approval_key))
      && said.challenge === event.body.challenge && said.credential === event.body.credential
      && said.items.some((/** @type {any} */ { tbs, manifest }) => hex(unb64u(tbs)) === receipt.tbs && hex(unb64u(manifest)) === receipt.manifest);
  });
  return steps;
}

/** Whether a file is the receipt's revision, or has grown from it by a further signature. @param {any} receipt @param {ArrayBuffer} pdf @returns {Promise<Step>} */
async function fileStep(receipt, pdf) {
  const ends = [...new TextDecoder("latin1").decode(pdf).matchAll(/%%EOF\r?\n?/g)].slice(-8).flatMap(({ index, 0: { length } }) => [index + 5, index + length]);
  for (const end of [pdf.byteLength, ...ends])
    if (hex(await sha256(pdf.slice(0, end))) === receipt.revision) return { name: end < pdf.byteLength ? "fileGrown" : "file", ok: end < pdf.byteLength ? null : true, detail: "" };
  return { name: "file", ok: false, detail: "" };
}

/** @param {import("./frame.js").Screen} screen */
export async function verifyScreen({ signal }) {
  const { main } = frame({ title: t("verifyTitle"), back: "#/me", kind: "lone" });
  const input = h("input", { class: "unseen", type: "file", "aria-label": t("verifyChoose"), multiple: true, accept: ".pdf,.json,application/pdf,application/json", tabindex: "-1", onchange: () => check([...(input.files ?? [])]) });
  const place = h("section", { "aria-live": "polite" });
  fill(main, h("p", {}, t("verifyHelp")), h("button", { class: "main", onclick: () => input.click() }, icon("plus"), t("verifyChoose")), input, place);
  main.addEventListener("dragover", (event) => event.preventDefault());
  main.addEventListener("drop", (event) => {
    event.preventDefault();
    check([.../** @type {DragEvent} */ (event).dataTransfer?.files ?? []]);
  });

  /** @param {File[]} files */
  async function check(files) {
    fill(place, waiting());
    /** @type {import("./view.js").Child[]} */
    const found = [];
    /** @type {any} */
    let receipt = null;
    for (const file of files.filter(({ size }) => size <= MOST_RECEIPT)) {
      const value = await file.text().then(JSON.parse).catch(() => null);
      if (value?.typ === "hoatoc-receipt" && value.v === 1) receipt = value;
    }
    const pdfs = [];
    for (const file of files) if (file.size <= MOST_PDF && (await file.slice(0, 1024).text()).includes("%PDF-")) pdfs.push(file);
    if (receipt) {
      const head = await read("/api/v1/log/head").catch(() => null);
      const steps = await verifyReceipt(receipt, head ? await thumbprint(/** @type {any} */ (head.log_key)) : undefined);
      for (const pdf of pdfs) steps.push(await fileStep(receipt, await pdf.arrayBuffer()));
      found.push(verdict(steps.every(({ ok }) => ok !== false), "receiptGood", t("receiptOne"), [...steps, { name: "chain", ok: null, detail: "" }].map(line)));
    }
    for (const pdf of pdfs) found.push(await judged(pdf));
    if (!signal.aborted) fill(place, found.length ? found : h("p", { class: "late", role: "alert" }, t("verifyNothing")));
    input.value = "";
  }

  /** @param {File} file */
  async function judged(file) {
    const form = new FormData();
    form.append("file", file);
    try {
      const report = JSON.parse(fromUtf8(await call("POST", "/api/v1/validations", { form, signal })));
      const said = (/** @type {any} */ one) => one[language()];
      const rows = report.signatures.map((/** @type {any} */ one) => [
        mark(one.reasons.length ? false : one.indication === "TOTAL-PASSED" ? true : null, one.signer || t("verifyStamp"), [one.organisation, one.time && dateTime(one.time)].filter(Boolean).join(" · ")),
        one.reasons.map((/** @type {any} */ reason) => mark(false, said(reason), "")),
      ]);
      return verdict(report.verdict === "valid", "verifyGood", file.name, [...report.reasons.map((/** @type {any} */ one) => mark(false, said(one), "")), rows, report.notes.map((/** @type {any} */ one) => mark(null, said(one), ""))]);
    } catch (error) {
      return h("section", { class: "group" }, outside(file.name, "who"), h("p", { class: "late" }, words(error)));
    }
  }
}

/** @param {boolean} good @param {string} well What is said if so. @param {string} name @param {import("./view.js").Child[]} rows */
const verdict = (good, well, name, rows) =>
  h("section", { class: "group" }, outside(name, "who"), h("p", { class: good ? "verdict big good" : "verdict big late" }, icon(good ? "check" : "warn"), t(good ? well : "verifyBad")), h("ul", { class: "route" }, rows));
/** @param {boolean | null} ok @param {string} text @param {string} detail */
const mark = (ok, text, detail) =>
  h("li", { class: ok ? "done" : ok === false ? "late" : "" }, icon(ok ? "check" : ok === false ? "cross" : "help"), h("div", {}, h("span", { class: ok === false ? "" : "unseen" }, `${t(ok ? "v_yes" : ok === false ? "v_no" : "v_unknown")}: `), outside(text), detail && h("div", { class: "soft" }, outside(detail))));
/** @param {Step} step */
const line = ({ name, ok, detail }) => mark(ok, t(`v_${name}`), detail);
