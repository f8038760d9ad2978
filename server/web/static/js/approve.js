/** The approval sheet: what is signed, the stamped page drawn from the very bytes, the PIN, and an outcome that is true. */
import { Problem, call, pause, read } from "./api.js";
import { chip, frame, trouble, waiting, words } from "./frame.js";
import { commonName } from "./join.js";
import { myStep } from "./document.js";
import { check, imageOf } from "./manifest.js";
import { pinPad } from "./pinpad.js";
import { approve, openSheet, outcomeOf, sendApproval } from "./signing.js";
import { dateTime, pageCount, t } from "./texts.js";
import { fill, h, icon, outside, say } from "./view.js";

/** Eight characters that name the bytes, for reading aloud. @param {string} tbs */
const codeOf = (tbs) => `${tbs.slice(0, 4)} ${tbs.slice(4, 8)}`.toUpperCase();

/** A page by itself, to be moved about with a finger. @param {HTMLElement} picture */
function enlarge(picture) {
  const dialog = h(
    "dialog", { class: "large", "aria-label": picture.getAttribute("alt"), onclose: () => dialog.remove() },
    h("div", {}, picture), h("button", { class: "main", onclick: () => dialog.close() }, t("close")),
  );
  document.body.append(dialog);
  dialog.showModal();
}

/** @param {import("./frame.js").Screen} screen @param {string} id */
export async function approveScreen({ me, signal, go }, id) {
  const view = frame({ title: t("signTitle"), back: `#/d/${id}`, kind: "sheet" });
  const { main } = view;
  fill(main, h("p", { class: "empty", role: "status" }, h("span", { class: "spin" }), t("signPreparing")));
  /** @type {any} */
  let doc;
  try {
    doc = await read(`/api/v1/documents/${id}`, { signal });
  } catch (error) {
    if (!signal.aborted) fill(main, trouble(error, () => go(`#/d/${id}/sign`)));
    return;
  }
  const step = myStep(doc, me);
  if (!step) return go(`#/d/${id}`);
  const sealing = step.kind === "seal";
  fill(view.heading, t(sealing ? "signSealTitle" : "signTitle"));
  const words_ = {
    pin: t(sealing ? "signPinSeal" : "signPin"), deed: t(sealing ? "signSealDo" : "signDo"), working: t(sealing ? "signSealWorking" : "signWorking"),
  };

  const facts = h("div", { class: "facts" });
  const preview = h("div", { class: "stamped" }, h("span", { class: "spin" }));
  const caption = h("p", { class: "caption" });
  const tries = h("p", { class: "soft tries" });
  const pad = pinPad({ label: words_.pin, deed: words_.deed, signal, submit });
  pad.enable(false);
  /** @type {import("./signing.js").Sheet | undefined} */
  let sheet;
  let url = "";
  signal.addEventListener("abort", () => URL.revokeObjectURL(url));
  fill(main, h("div", { class: "what" }, facts, caption, preview), pad.element);
  what();
  await prepare();

  function what() {
    fill(
      facts,
      h("p", { class: "meta" }, chip(doc.urgency), outside(`${doc.number}/${doc.notation}`, "number"), h("span", {}, pageCount(doc.page_count))),
      h("p", { class: "subject" }, outside(doc.subject)),
      h(
        "dl", {},
        step.authority && h("div", {}, h("dt", {}, t("signAs")), h("dd", {}, outside(step.authority))),
        sheet && h("div", {}, h("dt", {}, t("signCert")), h("dd", {}, outside(commonName(sheet.subject)))),
        sheet && h("div", {}, h("dt", {}, t("signCode")), h("dd", { class: "mono" }, codeOf(sheet.tbs))),
      ),
      tries,
    );
  }

  async function prepare() {
    try {
      const opened = await openSheet(id, doc.revision);
      if (signal.aborted) return;
      sheet = opened.sheet;
      what();
      const image = imageOf(opened.manifest, sheet.page, 720);
      const [bytes, left] = await Promise.all([
        call("GET", `/api/v1/prepared/${sheet.prepared}/images/${image.digest}`, { signal }),
        read(`/api/v1/me/credentials/${sheet.credential}/tries`, { signal }),
      ]);
      await check(bytes, image);
      if (signal.aborted) return;
      URL.revokeObjectURL(url);
      url = URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" }));
      const title = t(sealing ? "signSealed" : "signStamped", { n: sheet.page });
      fill(caption, title);
      const picture = () => h("img", { src: url, alt: title, width: image.width, height: image.height });
      fill(preview, h("button", { class: "enlarge", "aria-label": `${title}. ${t("zoomIn")}`, onclick: () => enlarge(picture()) }, picture(), icon("plus")));
      // Only now, when everything that would be approved has been checked, may digits be entered.
      showTries(left);
    } catch (error) {
      if (signal.aborted) return;
      sheet = undefined;
      refuse(error, prepareAgain);
    }
  }
  function prepareAgain() {
    fill(main, h("div", { class: "what" }, facts, caption, preview), pad.element);
    fill(preview, h("span", { class: "spin" }));
    prepare();
  }

  /** @param {{tries_left: number, locked_until: string | null}} found */
  function showTries({ tries_left: left, locked_until: until }) {
    if (until && Date.parse(until) > Date.now()) return pad.note(t("pinLocked", { time: dateTime(until) }));
    fill(tries, left < 3 && t("triesLeft", { n: left }));
    pad.enable(true);
  }

  /** @param {any} error @param {() => void} again */
  function refuse(error, again) {
    fill(main, trouble(error, again));
  }

  /** @param {Uint8Array<ArrayBuffer>} digits */
  async function submit(digits) {
    if (!sheet) return;
    pad.label(words_.working);
    pad.element.setAttribute("aria-busy", "true");
    try {
      const body = await approve(sheet, digits);
      const sent = await sendApproval(body, () => pad.label(t("signLost")));
      await outcome(sent === "sent");
    } catch (error) {
      if (!signal.aborted) await notSigned(error);
    } finally {
      pad.element.removeAttribute("aria-busy");
      pad.label(words_.pin);
    }
  }

  /** The server refused, so nothing was signed: say why, and what is still possible. @param {any} error */
  async function notSigned(error) {
    if (!(error instanceof Problem)) return refuse(error, prepareAgain);
    const { tries_left: left, locked_until: until } = error.body;
    if (error.code === "pin-wrong" || error.code === "pin-locked") {
      // A wrong try may have ended the prepared revision; the next try gets a fresh one.
      await prepare();
      fill(tries);
      if (until && Date.parse(until) > Date.now()) {
        pad.enable(false);
        return pad.note(t("pinLocked", { time: dateTime(until) }));
      }
      return pad.note(left === undefined ? words(error) : t(left === 1 ? "pinWrongLast" : "pinWrong", { n: left }));
    }
    if (["prepared-expired", "challenge-expired", "conflict"].includes(error.code)) {
      doc = await read(`/api/v1/documents/${id}`).catch(() => doc);
      if (!myStep(doc, me)) return outcome(false);
      what();
      await prepare();
      return say(t("signExpired"));
    }
    refuse(error, prepareAgain);
  }

  /** Ask the document until its state is settled; only what it says is shown as done. @param {boolean} said The server's own yes. */
  async function outcome(said) {
    URL.revokeObjectURL(url);
    let calm = 0;
    for (let shown = "", since = Date.now(); !signal.aborted; await pause(1200)) {
      /** @type {string} */
      let found = said ? "stamping" : "unknown";
      try {
        doc = await read(`/api/v1/documents/${id}`, { signal });
        found = outcomeOf(doc, step.position);
        if (said && found === "unknown") found = "stamping";
        // Open in several answers: the request that was lost is not on its way any more.
        calm = found === "open" ? calm + 1 : 0;
        if (found === "open" && calm < 4) found = "unknown";
      } catch (error) {
        if (signal.aborted) return;
      }
      if (found === "unknown" && Date.now() - since < 20_000 && !shown) {
        pad.label(t("signLost"));
        continue;
      }
      if (found !== shown) result((shown = found));
      if (found === "signed" || found === "open") return;
    }
  }

  /** @param {string} found */
  function result(found) {
    const [drawing, kind, title, help] = /** @type {Record<string, string[]>} */ ({
      signed: ["check", "good", t(sealing ? "doneSealed" : "doneSigned"), t("doneStamped")],
      stamping: ["check", "good", t(sealing ? "doneSealed" : "doneSigned"), t("doneStamping")],
      open: ["cross", "bad", t("doneOpen"), t("doneOpenHelp")],
      unknown: ["wait", "", t("doneUnknown"), t("doneUnknownHelp")],
    })[found];
    fill(view.heading, title);
    fill(
      main,
      h(
        "div", { class: `empty ${kind}`, role: "status" }, icon(drawing), h("p", { class: "big" }, title), h("p", {}, help),
        h("p", { class: "soft" }, outside(`${doc.number}/${doc.notation}`)),
        sheet && h("p", { class: "soft" }, t("signCode"), " ", h("span", { class: "mono" }, codeOf(sheet.tbs))),
      ),
    );
    view.deeds(
      found === "open" && h("button", { class: "main", onclick: () => go(`#/d/${id}/sign`) }, t("again")),
      found !== "open" && h("a", { class: "main", href: sealing ? "#/seal" : "#/" }, t("toInbox")),
    );
    if (found === "signed" || found === "stamping") next();
  }

  async function next() {
    const queue = await read(sealing ? "/api/v1/seal-queue" : "/api/v1/inbox?limit=3").catch(() => ({ items: [] }));
    const waits = queue.items.find((/** @type {any} */ one) => one.id !== id && (sealing || one.waiting));
    if (!waits || signal.aborted) return;
    view.deeds(
      h("a", { class: "plain", href: sealing ? "#/seal" : "#/" }, t("toInbox")),
      h("a", { class: "main", href: `#/d/${waits.id}` }, t("doneNext")),
    );
  }
}
