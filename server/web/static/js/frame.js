/** What every screen stands in: header with the way back, main part, bar of deeds, tabs within the thumb's reach. */
import { Offline, Problem, call, pause } from "./api.js";
import { Differs } from "./manifest.js";
import { Unsafe } from "./signing.js";
import { ago, dateTime, pageCount, t } from "./texts.js";
import { fill, h, icon, outside } from "./view.js";

/**
 * @typedef {{person: {id: string, name: string, position: string, roles: string[], key_frozen: boolean}, organisation_code: string,
 *   organisation_name: string, device: string}} Me
 * @typedef {{me: Me, signal: AbortSignal, go: (hash: string) => void, changed: (act: (documents: Set<string>) => void) => void}} Screen
 *   `signal` ends when the screen is left; `changed` calls after documents have changed.
 */

/** Room for two panes: a list stays beside what it opens. */
export const wide = /** @type {MediaQueryList} */ (globalThis.matchMedia?.("(min-width: 1024px)"));
/** Whether two panes are shown. */
export const panes = { on: false };

/** @param {Me | undefined} me @param {string} name */
export const has = (me, name) => Boolean(me?.person.roles.includes(name));
/** @param {Me} me */
export const reads = (me) => ["leader", "clerk", "staff"].some((role) => has(me, role));
/** @param {Me} me */
export const signs = (me) => has(me, "leader") || has(me, "clerk");

/** Who looks after other people's devices and keys. @param {Me} me */
export const keepsPeople = (me) => ["registration_officer", "administrator", "duty_officer"].some((role) => has(me, role));

/** @param {Me} me @param {string} current */
function tabs(me, current) {
  const tab = (/** @type {string} */ name, /** @type {string} */ hash, /** @type {string} */ drawing, /** @type {string} */ text) =>
    h("a", { href: hash, class: "tab", "aria-current": name === current ? "page" : undefined }, icon(drawing), h("span", {}, text));
  return h(
    "nav", { class: "tabs" },
    reads(me) && tab("inbox", "#/", "inbox", t("navInbox")),
    has(me, "clerk") && tab("seal", "#/seal", "seal", t("navSeal")),
    has(me, "registration_officer") ? tab("officer", "#/officer", "key", t("navOfficer")) : keepsPeople(me) && tab("people", "#/people", "people", t("peopleTitle")),
    reads(me) && tab("meetings", "#/m", "people", t("navMeetings")),
    tab("notices", "#/notices", "bell", t("navNotices")),
    tab("me", "#/me", "person", t("navMe")),
  );
}

/**
 * Put a screen on the page and the focus on its title. The parts may be filled later.
 * @param {{title: string, back?: string, me?: Me, tab?: string, kind?: string, end?: import("./view.js").Child, list?: boolean}} given
 *   `list`: with two panes it stands beside what is opened, and does not take the focus.
 */
export function frame({ title, back, me, tab, kind = "", end, list }) {
  const aside = list && panes.on;
  const heading = h(aside ? "h2" : "h1", { class: "title", tabindex: "-1" }, title);
  // It scrolls: a keyboard reaches it though nothing in it can be pressed.
  const main = h(aside ? "div" : "main", { id: aside ? "list" : "main", class: "room", tabindex: "0" });
  const bar = h("footer", { class: "bar", hidden: true });
  const skip = h("button", { class: "skip", onclick: () => main.focus() }, t("skip"));
  fill(
    /** @type {HTMLElement} */ (document.getElementById(aside ? "side" : "app")),
    h(
      "div", { class: `frame ${kind}` }, skip,
      h("header", { class: "top" }, back && h("a", { class: "round", href: back, "aria-label": t("back") }, icon("back")), heading, end),
      main, bar, tab && me && (aside || !panes.on) && tabs(me, tab),
    ),
  );
  if (!aside) document.title = `${title} · ${t("app")}`;
  if (!aside) heading.focus({ preventScroll: true });
  return {
    main, heading,
    /** @param {...import("./view.js").Child} children */
    deeds(...children) {
      fill(bar, ...children);
      bar.hidden = !children.some(Boolean);
    },
  };
}

/** The newest revision of a document, as the lists last said. @type {Map<string, string>} */
export const heads = new Map();

/** A line of the inbox or of the seal queue. @param {any} item @param {string} hash */
export function card(item, hash) {
  if (item.revision) heads.set(item.id, item.revision);
  return h("a", { class: `card u${item.urgency}`, href: hash, "aria-current": location.hash.startsWith(hash) ? "page" : undefined }, lines(item));
}

/** What a card says of a document. @param {any} item */
export const lines = (item) => [
  h("span", { class: "meta" }, chip(item.urgency), alone(item), outside(`${item.number}/${item.notation}`, "number")),
  outside(item.subject, "subject"),
  h(
    "span", { class: "meta" },
    h("span", {}, pageCount(item.page_count)),
    item.waiting ? late(item) : h("span", {}, t(`s_${item.state}`)),
    h("time", { datetime: item.at ?? item.created_at }, ago(item.at ?? item.created_at)),
  ),
];

/** What the organisation seals alone: an annex of the number behind it, a copy. @param {any} item */
export const alone = ({ annex_of: main, copy }) => (main || copy) && h("strong", {}, main ? t("annexOf") : t(`c_${copy.form ?? copy}`));

/** @param {any} item */
function late({ overdue_at: end, due_date: due }) {
  if (end && Date.parse(end) < Date.now()) return h("strong", { class: "late" }, t("overdue"));
  return due && h("span", {}, t("due", { date: due.split("-").reverse().join("/") }));
}

/** @param {number} urgency */
export const chip = (urgency) => h("span", { class: `chip u${urgency}` }, t(`u${urgency}`));

/** Words for what went wrong, from the server's own where it gave some. @param {any} error */
export function words(error) {
  if (error instanceof Problem) {
    const { tries_left: left, locked_until: until } = error.body;
    if (until && Date.parse(until) > Date.now()) return t("pinLocked", { time: dateTime(until) });
    if (error.code === "pin-wrong" && left !== undefined) return t(left === 1 ? "pinWrongLast" : "pinWrong", { n: left });
    // What the server says a person can do; of a malformed request it speaks to programmers.
    return error.code === "invalid-request" ? error.message : (error.body.detail ?? error.message);
  }
  if (error instanceof Differs) return t("unsafeBytes");
  if (error instanceof Unsafe) return t(error.message === "voucher" ? "unsafeVoucher" : "unsafeSigner");
  return t(error instanceof Offline ? "failedOffline" : "internal");
}

/** @param {any} error @param {() => void} [again] @param {import("./view.js").Child} [more] What else is to be said without a network. */
export const trouble = (error, again, more) =>
  h(
    "div", { class: "empty", role: "alert" }, icon("warn"), h("p", {}, words(error)), error instanceof Offline && more && h("p", {}, more),
    error instanceof Problem && error.status >= 500 && h("p", { class: "soft" }, t("trace", { id: String(error.body.trace_id ?? "").slice(-12) })),
    again && !(error instanceof Differs || error instanceof Unsafe) && h("button", { class: "main", onclick: again }, t("again")),
  );

/** A pause between two questions; longer while nobody looks, and over as soon as somebody does again. @param {number} ms @param {number} unseen */
export async function lull(ms, unseen) {
  const over = new AbortController();
  const looked = new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { signal: over.signal }));
  await Promise.race([pause(document.hidden ? unseen : ms), looked]);
  over.abort();
}

export const waiting = () => h("p", { class: "empty", role: "status" }, h("span", { class: "spin" }), t("loading"));

/** @param {string} drawing @param {string} text */
export const nothing = (drawing, text) => h("div", { class: "empty" }, icon(drawing), h("p", {}, text));

/** A page image of a stored revision. @param {string} document @param {string} revision */
export const pageLoader = (document, revision) =>
  (/** @type {{page: number, width: number}} */ { page, width }, /** @type {AbortSignal} */ signal) =>
    call("GET", `/api/v1/documents/${document}/revisions/${revision}/pages/${page}?width=${width}`, { signal, kept: true });
