/**
 * The approval sheet: what is signed, the stamped page drawn from the very bytes, the PIN, and an outcome that is true; for one document,
 * and for several with one PIN, each shown and consented to by itself.
 */
import { Problem, call, pause, read } from "./api.js";
import { annexes, copied, myStep, openAt, told } from "./document.js";
import { alone, chip, frame, lines, trouble, waiting, words } from "./frame.js";
import { commonName } from "./me.js";
import { check, imageOf } from "./manifest.js";
import { pinPad } from "./pinpad.js";
import { approve, follow, openSheet, outcomeOf, sendApproval } from "./signing.js";
import { dateTime, pageCount, t } from "./texts.js";
import { fill, h, icon, outside, say } from "./view.js";

/** Eight characters that name the bytes, for reading aloud. @param {string} tbs */
const codeOf = (tbs) => `${tbs.slice(0, 4)} ${tbs.slice(4, 8)}`.toUpperCase();

/** What one signs for: the document's file and those of its annexes (AUT-8). @param {any} doc */
const bytesOf = (doc) => doc && [doc, ...doc.annexes].map(({ revision }) => revision).join();

/**
 * That the certificate's status could not be had, which the person must know before the PIN (SW-4); nothing where it is good.
 * @param {import("./signing.js").Sheet | null | undefined} sheet
 */
function statusWarning(sheet) {
  const status = sheet?.certificate_status;
  if (!status || status.state === "good") return null;
  const until = status.signing_stops_at;
  return h("p", { class: "late", role: "alert" }, t("certUnchecked"), until && ` ${t("certStops", { time: dateTime(until) })}`);
}

/** Pages that must be opened before one may sign, and the way there; nothing where all were. @param {import("./signing.js").Sheet} sheet */
function unopened({ unopened_in: id, unopened: pages }) {
  if (!pages.length) return null;
  const runs = pages.filter((page) => !pages.includes(page - 1)).map((from) => {
    let to = from;
    while (pages.includes(to + 1)) to++;
    return from < to ? `${from}–${to}` : from;
  });
  return [
    h("p", { class: "late", role: "alert" }, t("openAll", { pages: runs.join(", ") })),
    h("a", { class: "main", href: `#/d/${id}`, onclick: () => openAt.set(id, pages[0]) }, t("openPage", { n: pages[0] })),
  ];
}

/** A page by itself, to be moved about with a finger. @param {HTMLElement} picture */
function enlarge(picture) {
  const dialog = h(
    "dialog", { class: "large", "aria-label": picture.getAttribute("alt"), onclose: () => dialog.remove() },
    h("div", {}, picture), h("button", { class: "main", onclick: () => dialog.close() }, t("close")),
  );
  document.body.append(dialog);
  dialog.showModal();
}

/**
 * The page that bears the stamp, from the bytes that would be signed, checked against the manifest.
 * @param {{sheet: import("./signing.js").Sheet, manifest: import("./manifest.js").Manifest}} opened @param {AbortSignal} signal
 */
async function stampedPage({ sheet, manifest }, signal) {
  const image = imageOf(manifest, sheet.page, 720);
  const bytes = await call("GET", `/api/v1/prepared/${sheet.prepared}/images/${image.digest}`, { signal });
  await check(bytes, image);
  const url = URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" }));
  signal.addEventListener("abort", () => URL.revokeObjectURL(url));
  const picture = (/** @type {string} */ alt) => h("img", { src: url, alt, width: image.width, height: image.height });
  return {
    url,
    /** @param {string} title */
    button: (title) => h("button", { class: "enlarge", "aria-label": `${title}. ${t("zoomIn")}`, onclick: () => enlarge(picture(title)) }, picture(title), icon("plus")),
  };
}

/** @param {import("./frame.js").Screen} screen @param {string} id */
export async function approveScreen({ me, signal, go, changed }, id) {
  const view = frame({ title: t("title_person"), back: `#/d/${id}`, kind: "sheet" });
  const { main } = view;
  fill(main, h("p", { class: "empty", role: "status" }, h("span", { class: "spin" }), t("signPreparing")));
  /** @type {any} */
  let doc;
  try {
    doc = await read(`/api/v1/documents/${id}`, { signal });
  } catch (error) {
    if (!signal.aborted) fill(main, trouble(error, () => go(`#/d/${id}/sign`), t("offlineSign")));
    return;
  }
  const step = myStep(doc, me);
  if (!step) return go(`#/d/${id}`);
  const sealing = step.kind === "seal";
  const { kind } = step;
  fill(view.heading, t(`title_${kind}`));
  const words_ = { pin: t(`pin_${kind}`), deed: t(`deed_${kind}`), working: t(`work_${kind}`) };

  const facts = h("div", { class: "facts" });
  const preview = h("div", { class: "stamped" }, h("span", { class: "spin" }));
  const caption = h("p", { class: "caption" });
  const tries = h("p", { class: "soft tries" });
  const pad = pinPad({ label: words_.pin, deed: words_.deed, signal, submit });
  pad.enable(false);
  /** @type {import("./signing.js").Sheet | undefined} */
  let sheet;
  let url = "";
  let sending = false;
  let settled = false;
  // Recalled, replaced, returned or signed elsewhere while the sheet is open: it closes, and no PIN is charged for what is gone.
  changed(async (documents) => {
    if (!documents.has(id) || sending) return;
    const found = await read(`/api/v1/documents/${id}`, { signal }).catch(() => null);
    if (sending || signal.aborted || (found && bytesOf(found) === bytesOf(doc) && myStep(found, me))) return;
    say(t("signClosed"));
    go(`#/d/${id}`);
  });
  fill(main, h("div", { class: "what" }, facts, caption, preview), pad.element);
  what();
  await prepare();

  function what() {
    fill(
      facts,
      h("p", { class: "meta" }, chip(doc.urgency), alone(doc), outside(`${doc.number}/${doc.notation}`, "number"), h("span", {}, pageCount(doc.page_count))),
      h("p", { class: "subject" }, outside(doc.subject)),
      annexes(doc),
      h(
        "dl", {},
        copied(doc),
        step.authority && h("div", {}, h("dt", {}, t("signAs")), h("dd", {}, outside(step.authority))),
        // Their places are there before they are, so that nothing moves.
        h("div", {}, h("dt", {}, t("signCert")), h("dd", {}, sheet ? outside(commonName(sheet.subject)) : "…")),
        h("div", {}, h("dt", {}, t("signCode")), h("dd", { class: "mono" }, sheet ? codeOf(sheet.tbs) : "…")),
      ),
      statusWarning(sheet),
      tries,
    );
  }

  async function prepare() {
    try {
      await told();
      const opened = await openSheet(id, doc.revision);
      if (signal.aborted) return;
      sheet = opened.sheet;
      what();
      const [page, left] = await Promise.all([stampedPage(opened, signal), read(`/api/v1/me/credentials/${sheet.credential}/tries`, { signal })]);
      if (signal.aborted) return;
      URL.revokeObjectURL(url);
      url = page.url;
      const title = t(`page_${kind}`, { n: sheet.page });
      fill(caption, title);
      fill(preview, page.button(title));
      const missing = unopened(sheet);
      if (missing) {
        pad.element.replaceWith(missing[0]);
        return view.deeds(missing[1]);
      }
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
    const wait = until ? Date.parse(until) - Date.now() : 0;
    if (wait > 0) {
      const timer = setTimeout(prepare, Math.min(wait + 1000, 2 ** 31 - 1));
      signal.addEventListener("abort", () => clearTimeout(timer));
      return pad.note(t("pinLocked", { time: dateTime(until ?? "") }));
    }
    // No try and no end of a lock: the ninth wrong one has destroyed the key.
    if (!left) return pad.note(t("keyDestroyed"));
    fill(tries, left < 3 && t("triesLeft", { n: left }));
    pad.enable(true);
  }

  /** @param {any} error @param {() => void} again */
  function refuse(error, again) {
    fill(main, trouble(error, again, t("offlineSign")));
  }

  /** @param {Uint8Array<ArrayBuffer>} digits */
  async function submit(digits) {
    if (!sheet) return;
    sending = true;
    pad.label(words_.working);
    pad.element.setAttribute("aria-busy", "true");
    try {
      const body = await approve([sheet], digits);
      const sent = await sendApproval(body, () => pad.label(t("signLost")));
      await outcome(sent === "sent");
    } catch (error) {
      if (!signal.aborted) await notSigned(error);
    } finally {
      sending = settled;
      pad.element.removeAttribute("aria-busy");
      pad.label(words_.pin);
    }
  }

  /** The server refused, so nothing was signed: say why, and what is still possible. @param {any} error */
  async function notSigned(error) {
    if (!(error instanceof Problem)) return refuse(error, prepareAgain);
    if (["pin-wrong", "pin-locked", "signer-busy"].includes(error.code)) {
      // The approval is spent, and a wrong try may have ended the prepared revision; the next try gets a fresh one.
      await prepare();
      fill(tries);
      const until = error.body.locked_until;
      if (until && Date.parse(until) > Date.now()) pad.enable(false);
      return pad.note(words(error));
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
    settled = found !== "open";
    const [drawing, mood, title, help] = /** @type {Record<string, string[]>} */ ({
      signed: ["check", "good", t(`did_${kind}`), t("doneStamped")],
      stamping: ["check", "good", t(`did_${kind}`), t("doneStamping")],
      open: ["cross", "bad", t("doneOpen"), t("doneOpenHelp")],
      unknown: ["wait", "", t("doneUnknown"), t("doneUnknownHelp")],
    })[found];
    fill(view.heading, title);
    fill(
      main,
      h(
        "div", { class: `empty ${mood}`, role: "status" }, icon(drawing), h("p", { class: "big" }, title), h("p", {}, help),
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

/**
 * @typedef {{id: string, doc: any, step: any, sheet: import("./signing.js").Sheet | null, page: any, error: any, missing: HTMLElement[] | null, agreed: boolean, place: HTMLElement, state: string}} Row
 *   `agreed`: the person said yes to this document. `state`: an outcome, once it was sent.
 */

/** @param {import("./frame.js").Screen} screen */
export async function batchScreen({ me, signal, go, changed }) {
  /** @type {string[]} */
  const ids = JSON.parse(sessionStorage.getItem("batch") ?? "[]");
  if (!ids.length) return go("#/");
  /** @type {Row[]} */
  const rows = ids.map((id) => ({ id, doc: null, step: null, sheet: null, page: null, error: null, missing: null, agreed: false, place: h("article", { class: "card", hidden: true }), state: "" }));
  const agreed = () => rows.filter((row) => row.agreed && row.sheet);
  const sealing = () => rows.some((row) => row.step?.kind === "seal");
  const act = () => (sealing() ? "seal" : "person");
  let sent = false;
  let view = list();
  // Four at once: on a slow network twenty sheets are twenty times as many waits as one.
  const next = rows.values();
  await Promise.all([1, 2, 3, 4].map(async () => { for (const row of next) await prepare(row); }));
  changed(async (documents) => {
    for (const row of rows) if (documents.has(row.id) && !sent) await prepare(row);
  });

  function list() {
    const made = frame({ title: t("batchTitle"), back: "#/", kind: "lone" });
    fill(made.main, h("p", {}, t("batchHelp")), rows.map((row) => row.place));
    queueMicrotask(offer);
    return made;
  }

  /** A sheet of the document as it is now. Another revision than the one agreed to, or other annexes, take the yes back. @param {Row} row */
  async function prepare(row) {
    const before = bytesOf(row.doc);
    row.sheet = null;
    try {
      row.doc = await read(`/api/v1/documents/${row.id}`, { signal });
      if (before !== bytesOf(row.doc)) row.agreed = false;
      row.step = myStep(row.doc, me);
      if (!row.step) throw new Problem(409, { code: "not-your-turn", title: t("notYourTurn") });
      await told();
      const opened = await openSheet(row.id, row.doc.revision);
      row.missing = unopened(opened.sheet);
      row.page = await stampedPage(opened, signal);
      row.sheet = row.missing ? null : opened.sheet;
      row.error = null;
    } catch (error) {
      row.error = error;
      row.agreed = false;
    }
    if (signal.aborted) return;
    draw(row);
    offer();
  }

  /** @param {Row} row */
  function draw(row) {
    const { doc, sheet, page, error } = row;
    const box = h("input", { type: "checkbox", checked: row.agreed, onchange: () => { row.agreed = box.checked; offer(); } });
    const kind = row.step?.kind;
    fill(
      row.place, doc && [lines({ ...doc, at: doc.state_since }), annexes(doc), doc.copy && h("dl", {}, copied(doc))],
      error && h("p", { class: "late" }, words(error)), row.missing,
      sheet && [
        h("p", { class: "meta" }, t("signCode"), h("strong", { class: "mono" }, codeOf(sheet.tbs))),
        statusWarning(sheet),
        h("div", { class: "stamped" }, page.button(t(`page_${kind}`, { n: sheet.page }))),
      ],
      h("a", { class: "plain slim", href: `#/d/${row.id}` }, t("batchRead")),
      sheet && h("label", { class: "tickline" }, box, h("span", {}, t(`agree_${kind}`), h("span", { class: "unseen" }, ` ${doc.number}/${doc.notation}`))),
    );
  }

  function offer() {
    if (sent) return;
    const made = (/** @type {Row} */ row) => row.sheet || row.missing || row.error;
    // In their order, or a card would push down the one that is being read.
    for (const row of rows) {
      if (!made(row)) break;
      row.place.hidden = false;
    }
    const ready = rows.filter(made).length;
    const count = agreed().length;
    const text = ready < rows.length ? t("batchPreparing", { n: ready, all: rows.length }) : t(sealing() ? "batchSeal" : "batchSign", { n: count });
    view.deeds(h("button", { class: "main", disabled: ready < rows.length || !count, onclick: ask }, text));
  }

  async function ask() {
    const chosen = agreed();
    const title = t(sealing() ? "batchSeal" : "batchSign", { n: chosen.length });
    sent = true;
    view = frame({ title, kind: "sheet", end: h("button", { class: "plain slim", onclick: back }, t("close")) });
    const what = h("div", { class: "what" });
    const show = () => fill(what, h("ol", { class: "chosen" }, chosen.map(({ doc, sheet }) => h("li", {}, outside(`${doc.number}/${doc.notation}`, "number"), h("span", { class: "mono soft" }, sheet && codeOf(sheet.tbs)), outside(doc.subject, "subject")))));
    const pad = pinPad({ label: t(`pin_${act()}`), deed: title, signal, submit });
    show();
    fill(view.main, what, pad.element);
    const { tries_left: left, locked_until: until } = await read(`/api/v1/me/credentials/${chosen[0].sheet?.credential}/tries`, { signal });
    if (left < 3) pad.note(words(new Problem(423, until ? { code: "pin-locked", locked_until: until } : left ? { code: "pin-wrong", tries_left: left } : { code: "key-destroyed", title: t("keyDestroyed") })));
    pad.enable(left > 0);

    function back() {
      sent = false;
      view = list();
    }
    /** @param {Uint8Array<ArrayBuffer>} digits */
    async function submit(digits) {
      pad.label(t(`work_${act()}`));
      try {
        const body = await approve(chosen.map((row) => /** @type {import("./signing.js").Sheet} */ (row.sheet)), digits);
        const answer = await sendApproval(body, () => pad.label(t("signLost")));
        await outcomes(chosen, body, answer === "sent");
      } catch (error) {
        if (signal.aborted) return;
        const again = error instanceof Problem && ["pin-wrong", "pin-locked", "signer-busy", "prepared-expired", "challenge-expired"].includes(error.code);
        if (!again) {
          fill(view.main, trouble(error, back, t("offlineSign")));
          return;
        }
        // A wrong try may have ended the prepared revisions; what was agreed to is prepared anew, of the same bytes or not at all.
        for (const row of chosen) await prepare(row);
        if (chosen.some((row) => !row.agreed)) return back();
        show();
        pad.label(t(`pin_${act()}`));
        pad.enable(!error.body.locked_until);
        pad.note(words(error));
      }
    }
  }

  /**
   * Each document's own result, as it comes. @param {Row[]} chosen @param {{approval: string}} body @param {boolean} said The server's own yes.
   */
  async function outcomes(chosen, body, said) {
    const seal = sealing();
    const count = h("p", { class: "counter", role: "status" });
    view = frame({ title: t("batchDone"), kind: "lone", end: count });
    fill(view.main, h("ol", { class: "route" }, chosen.map((row) => (row.place = h("li")))));
    view.deeds(h("a", { class: "main", href: seal ? "#/seal" : "#/" }, t("toInbox")));
    sessionStorage.removeItem("batch");
    /** @param {Row} row @param {string} state */
    const show = (row, state) => {
      if (row.state === state) return;
      row.state = state;
      const good = state === "signed" || state === "stamping";
      row.place.className = good ? "done" : "";
      fill(
        row.place, icon(good ? "check" : state === "open" ? "cross" : "wait"),
        h(
          "div", {}, outside(`${row.doc.number}/${row.doc.notation}`, "number"), h("div", {}, outside(row.doc.subject)),
          h("div", { class: "soft" }, `${t(good ? `did_${row.step.kind}` : state === "open" ? "doneOpen" : "doneUnknown")}. ${state === "stamping" ? t("doneStamping") : ""}`),
        ),
      );
    };
    for (const row of chosen) show(row, said ? "stamping" : "unknown");
    await follow(body, signal, (found) => {
      for (const row of chosen) show(row, found.get(row.id) ?? "open");
      fill(count, `${chosen.filter(({ state }) => state === "signed").length}/${chosen.length}`);
      return chosen.every(({ state }) => state === "signed" || state === "open");
    });
  }
}
