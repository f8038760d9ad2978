/**
 * Inbox and seal queue: what waits first, most urgent first; several may be chosen, to be signed with one PIN. On a wide screen the list
 * stays beside what it opens, and the keyboard walks through it: j and k, Enter, Esc, and a sheet that lists the keys.
 */
import { meanwhile, read } from "./api.js";
import { card, frame, has, lines, nothing, panes, signs, trouble, waiting } from "./frame.js";
import { t } from "./texts.js";
import { fill, h, icon } from "./view.js";

/** The server takes no more in one approval (limits.batch_documents). */
const MOST = 200;

/** @param {import("./frame.js").Screen} screen */
export const inbox = (screen) => list(screen, "inbox");
/** @param {import("./frame.js").Screen} screen */
export const sealQueue = (screen) => list(screen, "seal");

/** @param {import("./frame.js").Screen} screen @param {"inbox" | "seal"} kind */
async function list({ me, signal, go, changed }, kind) {
  const sealing = kind === "seal";
  const choose = h("button", { class: "round", hidden: true, "aria-label": t("pickSeveral"), "aria-pressed": "false", onclick: () => pick(!picked) }, icon("tick"));
  const keys = panes.on && h("button", { class: "round", "aria-label": t("keysTitle"), onclick: help }, icon("help"));
  const { main, deeds } = frame({ title: t(sealing ? "sealTitle" : "navInbox"), me, tab: kind, list: true, end: [choose, keys] });
  fill(main, waiting());
  let needsKey = false;
  /** @type {any[]} */
  let items = [];
  /** @type {string | null} */
  let next = null;
  /** What is chosen, while choosing. @type {Set<string> | null} */
  let picked = null;

  const mine = (/** @type {any} */ item) => sealing || item.reason !== "seal";
  /** @param {any} row */
  function entry(row) {
    if (!picked || !row.waiting || !mine(row)) return card(row, `#/d/${row.id}`);
    const box = h("input", { type: "checkbox", checked: picked.has(row.id), onchange: () => {
      if (box.checked) picked?.add(row.id);
      else picked?.delete(row.id);
      offer();
    } });
    return h("label", { class: `card pick u${row.urgency}` }, box, h("span", { class: "lines" }, lines(row)));
  }
  const group = (/** @type {string} */ title, /** @type {any[]} */ rows) => rows.length > 0 && h("section", {}, h("h2", {}, title), rows.map(entry));
  function draw() {
    const [open, done] = [items.filter((item) => item.waiting), items.filter((item) => !item.waiting)];
    const at = main.contains(document.activeElement) && document.activeElement?.getAttribute("href");
    fill(
      main,
      !sealing && h("nav", { class: "choices" }, signs(me) && h("a", { class: "plain grow", href: "#/a" }, icon("down"), t("arrivals")), h("a", { class: "plain grow", href: "#/o" }, icon("pen"), t("o_all"))),
      needsKey && h("a", { class: "card call", href: "#/enrol" }, icon("lock"), h("span", {}, h("strong", {}, t("enrolCard")), h("br"), t("enrolCardHelp"))),
      open.length ? [4, 3, 2, 1, 0].map((urgency) => {
        const rows = open.filter((item) => item.urgency === urgency);
        return group(`${t(`u${urgency}`)} · ${rows.length}`, rows);
      }) : nothing("check", t(sealing ? "sealEmpty" : "inboxEmpty")),
      group(t("inboxDone"), done),
      next && h("button", { class: "plain", onclick: more }, t("more")),
    );
    choose.hidden = !picked && open.filter(mine).length < 2;
    // What comes in while somebody reads the list takes neither the place nor the focus away.
    if (at) /** @type {HTMLElement | null} */ (main.querySelector(`a[href="${at}"]`))?.focus({ preventScroll: true });
  }
  /** @param {boolean} on */
  function pick(on) {
    picked = on ? new Set() : null;
    choose.setAttribute("aria-pressed", String(on));
    draw();
    offer();
  }
  function offer() {
    const count = picked?.size ?? 0;
    deeds(
      picked && h("button", { class: "plain", onclick: () => pick(false) }, t("pickLeave")),
      picked && h("button", { class: "main", disabled: !count || count > MOST, onclick: begin }, count > MOST ? t("pickMost", { n: MOST }) : t(sealing ? "pickSeal" : "pickSign", { n: count })),
    );
  }
  function begin() {
    sessionStorage.setItem("batch", JSON.stringify(items.filter((item) => picked?.has(item.id)).map((item) => item.id)));
    pick(false);
    go("#/batch");
  }
  // Whether a copy alone is shown: it does not stand in for an answer that did not come.
  let copied = false;
  const load = async () => {
    try {
      const path = sealing ? "/api/v1/seal-queue" : "/api/v1/inbox";
      const asked = Promise.all([read(path, { signal, kept: true }), !sealing && signs(me) && withoutKey(me.device).catch(() => false)]);
      asked.catch(() => {});
      const copy = items.length ? undefined : await meanwhile(path);
      if (copy && !signal.aborted) take(copy, false);
      copied = Boolean(copy);
      const [page, keyless] = await asked;
      copied = false;
      if (signal.aborted || (copy && !keyless && JSON.stringify(copy) === JSON.stringify(page))) return;
      take(page, keyless);
    } catch (error) {
      if (!signal.aborted && (copied || !items.length)) fill(main, trouble(error, load));
    }
  };
  /** @param {any} page @param {boolean} keyless */
  function take(page, keyless) {
    items = sealing ? page.items.map((/** @type {any} */ item) => ({ ...item, waiting: true })) : page.items;
    next = page.next;
    for (const id of picked ?? []) if (!items.some((item) => item.id === id)) picked?.delete(id);
    needsKey = keyless;
    draw();
    offer();
  }
  const more = async () => {
    const page = await read(`/api/v1/inbox?cursor=${encodeURIComponent(next ?? "")}`);
    items.push(...page.items);
    next = page.next;
    draw();
  };
  changed(load);
  await load();
}

/** Whether this device can sign with no credential yet. Once it can, the question is not asked again. @param {string} device */
async function withoutKey(device) {
  if (localStorage.getItem("enrolled")) return false;
  const [credentials, devices] = await Promise.all([read("/api/v1/me/credentials"), read("/api/v1/me/devices")]);
  const admitted = devices.some((/** @type {any} */ one) => one.id === device && one.admitted);
  const keyless = !admitted || !credentials.some((/** @type {any} */ one) => one.certificate);
  if (!keyless) localStorage.setItem("enrolled", "1");
  return keyless;
}

/** The cards of the list. @returns {HTMLElement[]} */
const cards = () => [...document.querySelectorAll("#list a.card, #list .pick input")].map((one) => /** @type {HTMLElement} */ (one));

/** Move from the card that has the focus, else from the one that is open. @param {number} by */
function step(by) {
  const all = cards();
  const at = all.findIndex((one) => one === document.activeElement);
  const from = at >= 0 ? at : all.findIndex((one) => one.hasAttribute("aria-current"));
  const next = all[from < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, from + by))];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

const single = () => localStorage.getItem("keys") !== "off";

/** Which keys there are. One-letter keys can be turned off (WCAG 2.1.4). */
function help() {
  if (document.querySelector("dialog[open]")) return;
  const rows = [["J ↓", "keyNext"], ["K ↑", "keyPrevious"], ["Enter", "keyOpen"], ["Esc", "keyClose"], ["S", "keySign"], ["R", "docReturn"], ["?", "keysTitle"]];
  const box = h("input", { type: "checkbox", checked: single(), onchange: () => localStorage.setItem("keys", box.checked ? "on" : "off") });
  const dialog = h(
    "dialog", { class: "ask", "aria-labelledby": "keys", onclose: () => dialog.remove() },
    h("h2", { id: "keys" }, t("keysTitle")),
    h("dl", { class: "keylist" }, rows.map(([key, text]) => h("div", {}, h("dt", {}, key.split(" ").map((one) => h("kbd", {}, one))), h("dd", {}, t(text))))),
    h("label", { class: "tickline" }, box, t("keysSingle")),
    h("button", { class: "main", onclick: () => dialog.close() }, t("close")),
  );
  document.body.append(dialog);
  dialog.showModal();
}

/** @param {string} selector */
const press = (selector) => /** @type {HTMLElement | null} */ (document.querySelector(selector))?.click();

/** @param {{go: (hash: string) => void, list: () => string}} given `list`: the hash of the list that is beside. */
export function listen({ go, list }) {
  document.addEventListener("keydown", (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    if (!panes.on || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const { key } = event;
    const document_ = /^#\/d\/[0-9a-f]{32}/.exec(location.hash)?.[0];
    const inside = document.getElementById("app")?.contains(target);
    if (key === "Escape") {
      if (!document_) return;
      go(location.hash === document_ ? list() : document_);
      if (location.hash === document_) cards().find((one) => one.getAttribute("href") === document_)?.focus();
    } else if ((key === "ArrowDown" || key === "ArrowUp") && !(inside && document_)) step(key === "ArrowDown" ? 1 : -1);
    else if (!single() || target.matches("textarea, input:not([type=checkbox])")) return;
    else if (key === "j" || key === "k") step(key === "j" ? 1 : -1);
    else if (key === "s" && document_) press(`#app a[href="${document_}/sign"]`);
    else if (key === "r" && document_) press(`#app a[href="${document_}/return"]`);
    else if (key === "?") help();
    else return;
    event.preventDefault();
  });
}

/** What stands beside the list while nothing is open. @param {HTMLElement} place */
export const nothingOpen = (place) => fill(place, h("div", { class: "empty" }, h("p", { class: "soft" }, t("deskEmpty")), h("p", { class: "soft small" }, t("deskKeys"))));
