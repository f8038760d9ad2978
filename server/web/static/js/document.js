/** A document: what it is, its pages as images of the exact bytes, its route, its files, and what may be done with it now. */
import { Problem, call, later, pause, post, read } from "./api.js";
import { alone, chip, frame, has, heads, nothing, pageLoader, trouble, waiting, words } from "./frame.js";
import { Differs, imageOf, read as readManifest } from "./manifest.js";
import { purge } from "./offline.js";
import { pageList } from "./pages.js";
import { date, dateTime, t } from "./texts.js";
import { download, fill, h, icon, outside, say } from "./view.js";

/** Pages that are kept before they are looked at. */
const AHEAD = 12;

/** Width in pixels of a page on a phone. */
const WIDTH = 720;

/**
 * The manifest and the first page of the revision that the list named, asked for beside the document: if it has another head by now they
 * are dropped, and the page is checked against the manifest as any other.
 * @param {string} id @param {AbortSignal} signal
 */
function begun(id, signal) {
  const revision = heads.get(id);
  if (!revision) return;
  const manifest = call("GET", `/api/v1/documents/${id}/revisions/${revision}/manifest`, { signal, kept: true });
  const first = pageLoader(id, revision)({ page: 1, width: WIDTH }, signal);
  for (const one of [manifest, first]) one.catch(() => {});
  return { revision, manifest, first };
}

/** The open step that is this person's to take now. @param {any} document @param {import("./frame.js").Me} me */
export function myStep(document, me) {
  if (document.state === "in_review")
    return document.route.find((/** @type {any} */ one) => one.state === "open" && one.kind !== "seal" && one.person === me.person.id);
  if (document.state === "signed" && has(me, "clerk"))
    return document.route.find((/** @type {any} */ one) => one.state === "open" && one.kind === "seal");
}

/** @type {Promise<unknown>} */
let telling = Promise.resolve();
/** Ends when the server was told of every page that was opened, or there is no network. */
export const told = () => telling;
/** The page at which a document is to be opened next. @type {Map<string, number>} */
export const openAt = new Map();

/** Tells the server that a page stood on the screen. @param {any} found @returns {(image: import("./manifest.js").PageImage) => void} */
const teller = ({ id, revision }) => ({ page, digest: image }) => {
  telling = later(`open-${revision}-${page}`, `/api/v1/documents/${id}/revisions/${revision}/openings`, { pages: [{ page, image }] });
};

/** @param {import("./frame.js").Screen} screen @param {string} id */
export async function documentScreen({ me, signal, changed }, id) {
  const counter = h("p", { class: "counter", "aria-live": "off" });
  const { main, heading, deeds } = frame({ title: t("docTitle"), back: "#/", kind: "reading", end: counter });
  fill(main, waiting());
  /** @type {any} */
  let shown = null;
  let whole = false;
  const facts = h("div", { class: "before" });

  let early = begun(id, signal);
  const load = async () => {
    try {
      const found = await read(`/api/v1/documents/${id}`, { signal, kept: true });
      if (signal.aborted) return;
      if (found.state === "recalled") return gone();
      const another = found.revision !== shown?.revision;
      const news = shown && another;
      shown = found;
      fill(heading, outside(`${found.number}/${found.notation}`));
      summary(found);
      if (another) {
        whole = false;
        await pages(found);
        whole = true;
      }
      if (news) say(t("docChanged"));
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Problem && error.status === 404) gone();
      else if (!whole) {
        // Without its pages nothing is to be decided here, and the next try begins anew.
        shown = null;
        deeds();
        fill(main, trouble(error, load));
      }
    }
  };
  const gone = () => {
    shown = null;
    purge(id).catch(() => {});
    fill(main, nothing("cross", t("docRecalled")), has(me, "clerk") && h("a", { class: "plain", href: `#/a/sent/${id}` }, t("receivers")));
    fill(counter);
    deeds();
  };

  /** @param {any} found */
  function summary(found) {
    const opened = facts.querySelector("details")?.open;
    const step = myStep(found, me);
    fill(
      facts,
      h(
        "section", { class: "summary" },
        ["returned", "refused"].includes(found.state)
          ? h("p", { class: "banner", role: "status" }, icon("reply"), t(`ended_${found.state}`))
          : h("p", { class: "meta" }, chip(found.urgency), found.copy && alone(found), h("span", {}, found.state === "signed" && alone(found) ? t("sealTitle") : t(`s_${found.state}`))),
        h("h2", { class: "subject" }, outside(found.subject)),
        found.annex_of && other(found.annex_of, h("span", {}, t("annexOf"), " ", outside(`${found.number}/${found.notation}`))),
        annexes(found),
        h(
          "details", { open: opened ?? !!found.copy }, h("summary", {}, t("docInfo")),
          h(
            "dl", {},
            row("docNumber", `${found.number}/${found.notation}`), row("docType", found.type_name),
            row("docPlace", `${found.promulgation_place}, ${date(found.promulgation_date)}`),
            found.due_date && row("docDue", date(found.due_date)),
            copied(found),
          ),
          h("h3", {}, t("docRoute")), route(found),
          step && step.kind !== "seal" && h("a", { class: "line", href: `#/d/${id}/deputy` }, icon("person"), t("deputyTitle"), icon("right")),
          has(me, "leader") && found.revisions.some((/** @type {any} */ one) => one.kind === "seal") && h("a", { class: "line", href: `#/o/new/d/${id}` }, icon("pen"), t("o_new"), icon("right")),
          h("h3", {}, t("docFiles")), files(found, me),
        ),
      ),
    );
    deeds(
      step && h("a", { class: "plain", href: `#/d/${id}/return` }, icon("reply"), t("docReturn")),
      step && h("a", { class: "main", href: `#/d/${id}/sign` }, icon(step.kind === "seal" ? "seal" : "pen"), t(`do_${step.kind}`)),
    );
  }

  /** @param {any} found */
  async function pages(found) {
    const path = `/api/v1/documents/${id}/revisions/${found.revision}`;
    const place = h("div", { class: "empty" }, h("span", { class: "spin" }));
    fill(main, h("div", { class: "reader" }, facts, place));
    const ready = early?.revision === found.revision ? early : undefined;
    early = undefined;
    const asked = () => call("GET", `${path}/manifest`, { signal, kept: true });
    const { manifest } = await readManifest(await (ready?.manifest.catch(asked) ?? asked()));
    if (manifest.revision !== found.revision || manifest.page_count !== found.page_count) throw new Differs("another revision");
    const turned = (/** @type {number} */ page) => fill(counter, t("docPage", { n: page, all: manifest.page_count }));
    let told = false;
    const list = pageList({
      manifest, scroller: main, signal, turned, opened: found.open_every_page && (found.annex_of || myStep(found, me)) ? teller(found) : undefined, load: (image, stop) => {
        const first = image.page === 1 && image.width === WIDTH && ready?.first;
        const fetched = () => pageLoader(id, found.revision)(image, stop);
        if (ready) ready.first = /** @type {any} */ (undefined);
        return first ? first.catch(fetched) : fetched();
      },
      failed: (error) => {
        if (told) return;
        told = true;
        say(words(error));
        setTimeout(() => {
          told = false;
          if (!signal.aborted) list.retry();
        }, 3000);
      },
    });
    turned(1);
    place.replaceWith(list.element);
    list.element.children[(openAt.get(id) ?? 0) - 1]?.scrollIntoView();
    openAt.delete(id);
    ahead(found.revision, manifest).catch(() => {});
  }

  /** What will be wanted on the way, while the network is good. @param {string} revision @param {import("./manifest.js").Manifest} manifest */
  async function ahead(revision, manifest) {
    await pause(2500);
    const { effectiveType, saveData } = /** @type {any} */ (navigator).connection ?? {};
    if (effectiveType !== "4g" || saveData) return;
    for (let page = 1; page <= Math.min(AHEAD, manifest.page_count) && !signal.aborted; page++) await pageLoader(id, revision)(imageOf(manifest, page, WIDTH), signal);
  }
  changed((documents) => documents.has(id) && load());
  await load();
}

/** A way to an annex, or from it to its document. @param {string} id @param {import("./view.js").Child} text */
const other = (id, text) => h("a", { class: "line", href: `#/d/${id}` }, icon("right"), text);

/** @param {string} name @param {string} value */
const row = (name, value) => h("div", {}, h("dt", {}, t(name)), h("dd", {}, outside(value)));

/** Ways to the annexes of a document, for which its signers sign, too (AUT-8). @param {any} found */
export const annexes = (found) => found.annexes?.map((/** @type {any} */ one) => other(one.id, outside(one.subject)));

/** What a copy is of, and who decided it (SIG-6). @param {any} found */
export const copied = ({ copy }) => copy && [row("copyOf", copy.of), row("copyBy", copy.ordered_by)];

/** @param {any} found */
const route = (found) =>
  h(
    "ol", { class: "route" },
    found.route.map((/** @type {any} */ step) =>
      h(
        "li", { class: step.state }, icon(step.state === "done" ? "check" : step.state === "returned" ? "cross" : "wait"),
        h(
          "div", {},
          step.kind !== "person" && h("strong", {}, t(`kind_${step.kind}`)), step.authority && h("div", {}, outside(step.authority)),
          step.name && h("div", {}, outside(step.name, "who"), step.title && [", ", outside(step.title)]),
          h("div", { class: "soft" }, t(`r_${step.state}`, { time: step.decided_at ? dateTime(step.decided_at) : "" })),
        ),
      ),
    ),
  );

/** @param {any} found @param {import("./frame.js").Me} me */
function files(found, me) {
  const kinds = new Set(found.revisions.map((/** @type {any} */ one) => one.kind));
  const file = (/** @type {string} */ which, /** @type {string} */ text) =>
    h("button", { class: "line", onclick: () => fetchFile(found, which) }, icon("down"), t(text));
  const list = h("div", { class: "lines" }, file("original", "fileOriginal"), kinds.has("signature") && file("signed", "fileSigned"), kinds.has("seal") && found.state !== "sealed_pending_archive" && file("final", "fileFinal"));
  const receipts = h("button", { class: "line", onclick: () => listReceipts(found, receipts) }, icon("check"), t("receipts"));
  list.append(receipts);
  if (kinds.has("seal") || has(me, "clerk")) list.append(h("a", { class: "line", href: `#/a/sent/${found.id}` }, icon("inbox"), t("receivers")));
  list.append(h("a", { class: "line", href: "#/verify" }, icon("tick"), t("verifyTitle")));
  return list;
}

/** @param {any} found @param {string} which */
async function fetchFile(found, which) {
  try {
    const bytes = await call("GET", `/api/v1/documents/${found.id}/files/${which}`);
    download(bytes, "application/pdf", `${found.number}-${found.notation}-${which}.pdf`.replace(/[^\p{L}\p{N}.-]+/gu, "-"));
  } catch (error) {
    say(words(error));
  }
}

/** @param {any} found @param {HTMLElement} place */
async function listReceipts(found, place) {
  try {
    const receipts = await read(`/api/v1/documents/${found.id}/receipts`);
    const save = async (/** @type {any} */ one) => {
      try {
        download(await call("GET", `/api/v1/documents/${found.id}/receipts/${one.id}`), "application/json", `receipt-${one.id}.json`);
      } catch (error) {
        say(words(error));
      }
    };
    place.replaceWith(
      ...(receipts.length
        ? receipts.map((/** @type {any} */ one) => h("button", { class: "line", onclick: () => save(one) }, icon("down"), t("receipt", { time: dateTime(one.at) })))
        : [h("p", { class: "soft line" }, t("noReceipt"))]),
    );
  } catch (error) {
    say(words(error));
  }
}

/** Return a document with a reason. @param {import("./frame.js").Screen} screen @param {string} id */
export async function giveBack({ signal, go }, id) {
  const { main, deeds } = frame({ title: t("returnDo"), back: `#/d/${id}`, kind: "lone" });
  const reason = h("textarea", { id: "reason", rows: "5", maxlength: "1000", "aria-describedby": "reason-help", autocomplete: "off" });
  const note = h("p", { class: "pin-note", role: "alert" });
  const act = async () => {
    if (!reason.value.trim()) {
      fill(note, t("returnEmpty"));
      return reason.focus();
    }
    button.disabled = true;
    try {
      await post(`/api/v1/documents/${id}/return`, { reason: reason.value.trim() }, { tries: 4 });
      say(t("returned"));
      go("#/");
    } catch (error) {
      if (signal.aborted) return;
      button.disabled = false;
      fill(note, words(error));
    }
  };
  const button = h("button", { class: "main danger", onclick: act }, t("returnDo"));
  fill(main, h("label", { for: "reason" }, t("returnReason")), reason, h("p", { class: "soft", id: "reason-help" }, t("returnHelp")), note);
  deeds(button);
  reason.focus();
}
