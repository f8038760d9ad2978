/**
 * The view helper: elements from plain calls. Texts become text nodes, never markup; there is no way to set HTML here.
 *
 * @typedef {Node | string | number | null | undefined | false | any[]} Child
 */

// Control and direction characters: a text from outside may not reorder or hide what stands beside it (B11, C17).
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** @param {string} text */
export const visible = (text) => text.replace(UNSEEN, "");

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag @param {Record<string, any>} [props] Attributes; `on…` functions listen; true sets, false and undefined leave out.
 * @param {...Child} children @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== null && value !== false) element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, children);
  return element;
}

/** @param {Element} element @param {Child[]} children */
function append(element, children) {
  for (const child of children) {
    if (Array.isArray(child)) append(element, child);
    else if (child instanceof Node) element.append(child);
    else if (child || child === 0) element.append(visible(String(child)));
  }
}

/** Replace everything inside. @param {Element} element @param {...Child} children */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
}

let fields = 0;
/**
 * A control with its name above and its help below. @param {string} name @param {HTMLElement} control @param {string} [help]
 */
export function field(name, control, help) {
  control.id ||= `f${++fields}`;
  if (help) control.setAttribute("aria-describedby", `${control.id}-help`);
  return h("div", { class: "field" }, h("label", { for: control.id }, name), control, help && h("p", { class: "soft small", id: `${control.id}-help` }, help));
}

/**
 * One of several, each with its words. @template T @param {string} legend @param {[T, Child][]} rows @param {T} now @param {(value: T) => void} act
 * @param {string} [kind]
 */
export const choice = (legend, rows, now, act, kind = "choices tall") =>
  h(
    "fieldset", {}, h("legend", {}, legend),
    h("div", { class: kind }, rows.map(([value, text]) => h("label", { class: "choice" }, h("input", { type: "radio", name: legend, checked: value === now, onchange: () => act(value) }), h("span", {}, text)))),
  );

/**
 * Where what a notice is about is shown: what waits with others, in the overview. @param {{kind?: string, document?: string | null, about?: string}} notice
 * @returns {string | undefined}
 */
export const place = ({ kind = "", document, about = "" }) => {
  const [, what, id] = /^(?:idle:|overdue:)?(arrival|meeting|order)[\w-]*:(\w+)/.exec(about) ?? [];
  return document ? `#/d/${document}` : /below|digest/.test(kind) ? "#/held" : what && `#/${what[0]}/${id}`;
};

/** A text from outside, with its own direction. @param {string | null | undefined} text @param {string} [name] */
export const outside = (text, name) => h("bdi", { class: name, dir: "auto" }, text);

/** @type {Record<string, string>} Outlines on a 24 × 24 grid. */
const PATHS = {
  inbox: "M4 13l2.5-8h11L20 13v6H4v-6h5l1 2.5h4l1-2.5h5",
  seal: "M9 4.5a3 3 0 0 1 6 0c0 2.5-1.5 3-1.5 6H18v4H6v-4h4.5c0-3-1.5-3.5-1.5-6M5 19.5h14",
  bell: "M6 16.5V11a6 6 0 0 1 12 0v5.5l1.5 1.5h-15L6 16.5M10 20.5h4",
  person: "M12 11.5a3.750 3.750 0 1 0 0-7.5a3.750 3.750 0 0 0 0 7.5M4.5 20c.5-4 3.5-6 7.5-6s7 2 7.5 6",
  back: "M14.5 5l-7 7l7 7",
  right: "M9.5 5l7 7l-7 7",
  check: "M5 12.5l4.5 4.5L19 7.5",
  cross: "M6 6l12 12M18 6L6 18",
  wait: "M12 3.5a8.5 8.5 0 1 0 0 17a8.5 8.5 0 0 0 0-17M12 7.5V12l3 2",
  warn: "M12 4L2.5 20h19L12 4M12 10v4.5M12 17v.5",
  pen: "M4 20l1-4.5L16 4.5l3.5 3.5L8.5 19L4 20M13.5 7l3.5 3.5",
  reply: "M9 5L4 10l5 5M4 10h9a6.5 6.5 0 0 1 6.5 6.5V19",
  erase: "M8.5 5.5H21v13H8.5L3 12l5.5-6.5M11.5 9.5l5 5M16.5 9.5l-5 5",
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  phone: "M7.5 3h9v18h-9zM11 18h2",
  lock: "M6 11h12v9H6zM8.5 11V8a3.5 3.5 0 0 1 7 0v3",
  tick: "M4.5 4.5h15v15h-15zM8 12l3 3l5-6",
  help: "M9 9.5a3 3 0 1 1 4.5 2.5c-1 .6-1.5 1.2-1.5 2.5M12 18v.5",
  key: "M15 9.5a4 4 0 1 0-3.5 4L13 15h2v2h2v2h3v-3.5l-5.5-5M8 9v.5",
  people: "M9 11a3 3 0 1 0 0-6a3 3 0 0 0 0 6M3 19c.4-3.5 2.6-5 6-5s5.6 1.5 6 5M15.5 5.2a3 3 0 0 1 0 5.6M17.5 14.3c2 .7 3.2 2.2 3.5 4.7",
  down: "M12 4v11M7 10.5l5 5l5-5M5 20h14",
};

/** A decorative drawing; what it means stands beside it in words. @param {string} name */
export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", "icon");
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

/**
 * A question with one deed, or words alone. Gives true when the deed was chosen.
 * @param {{title: string, deed: string, leave: string, danger?: boolean}} words @returns {Promise<boolean>}
 */
export function ask({ title, deed, leave, danger }) {
  return new Promise((resolve) => {
    const dialog = h(
      "dialog", { class: "ask", "aria-labelledby": "ask", onclose: () => { dialog.remove(); resolve(dialog.returnValue === "yes"); } },
      h("h2", { id: "ask" }, title),
      h("button", { class: danger ? "main danger" : "main", onclick: () => dialog.close("yes") }, deed),
      h("button", { class: "plain", onclick: () => dialog.close("no") }, leave),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Say something without moving the focus. @param {string} text */
export function say(text) {
  const line = /** @type {HTMLElement} */ (document.getElementById("said"));
  fill(line, text);
  line.classList.add("shown");
  setTimeout(() => line.classList.remove("shown"), 4500);
}

/** Save bytes as a file of the person's own. @param {ArrayBuffer} bytes @param {string} type @param {string} name */
export function download(bytes, type, name) {
  const url = URL.createObjectURL(new Blob([bytes], { type }));
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
