/** The PIN pad: our own keys, so that no keyboard, suggestion or password manager sees a digit. Digits are shown as dots only. */
import { wide } from "./frame.js";
import { fill, h, icon } from "./view.js";
import { t } from "./texts.js";

const MOST = 31;
const LEAST = 6;
/** Dots that stand there before a digit is entered. */
const USUAL = 8;

/**
 * @param {{label: string, deed: string, signal: AbortSignal, submit: (digits: Uint8Array<ArrayBuffer>) => Promise<unknown>}} given
 *   `submit` gets a copy of the ASCII digits, wiped when it ends; `signal` ends the keyboard's way in.
 */
export function pinPad({ label, deed, signal, submit }) {
  const digits = new Uint8Array(MOST);
  let count = 0;
  let open = true;

  const dots = h("div", { class: "dots", "aria-hidden": "true" }, Array.from({ length: USUAL }, () => h("i", { class: "dot" })));
  const spoken = h("span", { class: "unseen", "aria-live": "polite" });
  const title = h("p", { class: "pin-title" }, label);
  const note = h("p", { class: "pin-note", role: "alert" });
  const done = h("button", { class: "main", type: "button", onclick: send }, deed);
  const erase = h("button", { class: "digit", type: "button", "aria-label": t("pinErase"), onclick: back }, icon("erase"));
  const key = (/** @type {number} */ digit) => h("button", { class: "digit", type: "button", onclick: () => add(digit) }, String(digit));
  const keys = h("div", { class: "keys" }, [1, 2, 3, 4, 5, 6, 7, 8, 9].map(key), h("span"), key(0), erase);
  const element = h("section", { class: "pin", "aria-label": t("pinLabel") }, title, note, dots, spoken, keys, done);

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !element.isConnected) return;
    // Beside the sheet lies a list that is walked through with the same keyboard.
    if (/** @type {HTMLElement} */ (event.target).closest("#side, dialog")) return;
    if (/^\d$/.test(event.key)) add(+event.key);
    else if (event.key === "Backspace") back();
    else if (event.key === "Enter" && !(event.target instanceof HTMLButtonElement)) send();
    else return;
    event.preventDefault();
  }, { signal });
  signal.addEventListener("abort", wipe);
  // The screen that it stands on stays when a tablet is turned; half a PIN does not.
  wide.addEventListener("change", wipe, { signal });

  /** @param {number} digit */
  function add(digit) {
    if (!open || count === MOST) return;
    digits[count++] = 48 + digit;
    show();
  }
  function back() {
    if (!open || !count) return;
    digits[--count] = 0;
    show();
  }
  function wipe() {
    digits.fill(0);
    count = 0;
    show();
  }
  function show() {
    // Only what differs: a slow phone lays out nothing anew for a digit.
    const all = dots.children;
    while (all.length < count) dots.append(h("i", { class: "dot" }));
    while (all.length > Math.max(count, USUAL)) dots.lastChild?.remove();
    for (let index = 0; index < all.length; index++) all[index].classList.toggle("full", index < count);
    fill(spoken, count ? t("pinCount", { n: count }) : "");
    if (count && note.firstChild) fill(note);
    const shut = !open || count < LEAST;
    if (done.disabled !== shut) done.disabled = shut;
  }
  async function send() {
    if (!open || count < LEAST) return;
    const given = digits.slice(0, count);
    enable(false);
    try {
      await submit(given);
    } finally {
      given.fill(0);
      wipe();
    }
  }
  /** @param {boolean} value */
  function enable(value) {
    open = value;
    for (const button of keys.querySelectorAll("button")) button.disabled = !value;
    element.classList.toggle("shut", !value);
    show();
  }
  show();
  return {
    element, enable, wipe,
    /** @param {string} text Said aloud and shown above the dots. */
    note: (text) => fill(note, text),
    /** @param {string} text @param {string} [button] */
    label: (text, button) => {
      fill(title, text);
      if (button) fill(done, button);
    },
  };
}
