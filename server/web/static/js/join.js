/** How a device comes in: pairing by a link, the code that the officer compares, enrolment with the first PIN. */
import { Problem, keep, pair, pause, read, resume, self } from "./api.js";
import { frame, signs, trouble, waiting, words } from "./frame.js";
import { shortCode } from "./jose.js";
import { guessable } from "./pin.js";
import { pinPad } from "./pinpad.js";
import { Unsafe, addDevice, enrol, voucherOf } from "./signing.js";
import { newKey } from "./store.js";
import { t } from "./texts.js";
import { fill, h, icon, outside } from "./view.js";

/** The parts of a pairing link; both stand behind the `#`, which no request carries. */
export function pairingLink() {
  if (location.pathname !== "/pair") return null;
  const given = new URLSearchParams(location.hash.slice(1));
  return { code: given.get("code") ?? "", signer: given.get("signer") ?? "" };
}

const deviceName = () => t(/Android/.test(navigator.userAgent) ? "deviceAndroid" : /iPhone|iPad/.test(navigator.userAgent) ? "deviceIphone" : "deviceDesk");

/** Nobody is paired here yet. @param {() => void} done */
export function welcome(done) {
  const { main, deeds } = frame({ title: t("welcomeTitle"), kind: "lone" });
  const link = pairingLink();
  if (!link?.code) {
    fill(main, h("div", { class: "empty" }, icon("phone"), h("p", {}, t("welcome"))));
    return;
  }
  if (!/^[A-Za-z0-9_-]{43}$/.test(link.signer)) {
    fill(main, h("div", { class: "empty", role: "alert" }, icon("warn"), h("p", {}, t("pairNoSigner"))));
    return;
  }
  const label = deviceName();
  const act = async () => {
    fill(main, h("p", { class: "empty", role: "status" }, h("span", { class: "spin" }), t("pairing")));
    deeds();
    try {
      await redeem(link, label);
      history.replaceState(null, "", "/#/enrol");
      done();
    } catch (error) {
      fill(main, trouble(error, error instanceof Problem && error.code === "pairing-code-invalid" ? undefined : act));
    }
  };
  fill(
    main,
    h(
      "div", { class: "empty" }, icon("phone"), h("p", {}, t("pairFound", { host: location.host })),
      h("p", { class: "soft" }, t("pairName"), " ", h("strong", {}, label)),
    ),
  );
  deeds(h("button", { class: "main", onclick: act }, t("pairDo")));
}

/** The same keys are offered again after a lost answer, so that the code is not spent for nothing. @param {{code: string, signer: string}} link @param {string} label */
async function redeem({ code, signer }, label) {
  const known = await self();
  if (known?.code !== code) {
    await navigator.storage?.persist?.();
    await keep({ session: await newKey(), approval: await newKey(), signer, code, device: "", closed: false });
  }
  for (let attempt = 1; ; attempt++) {
    try {
      return await pair({ label });
    } catch (error) {
      if (error instanceof Problem || attempt === 4) throw error;
      await pause(1000 * attempt);
    }
  }
}

/** The session was closed here. @param {() => void} done */
export function closed(done) {
  const { main, deeds } = frame({ title: t("closedTitle"), kind: "lone" });
  const act = async () => {
    fill(main, waiting());
    try {
      await resume();
      await keep({ .../** @type {import("./store.js").Device} */ (await self()), closed: false });
      done();
    } catch (error) {
      fill(main, trouble(error, act));
    }
  };
  fill(main, h("div", { class: "empty" }, icon("lock"), h("p", {}, t("closed"))));
  deeds(h("button", { class: "main", onclick: act }, t("closedDo")));
}

/** From the code to the certificate. @param {import("./frame.js").Screen} screen */
export async function enrolment({ me, signal, go }) {
  const home = signs(me) ? "#/" : "#/me";
  const { main, deeds } = frame({ title: t("codeTitle"), back: home, kind: "lone" });
  fill(main, waiting());
  const device = /** @type {import("./store.js").Device} */ (await self());
  const code = await shortCode(device.approval.print);

  for (let shown = ""; !signal.aborted; await pause(document.hidden ? 10_000 : 2500)) {
    /** @type {any} */
    let next;
    try {
      const [vouchers, credentials, devices] = await Promise.all([
        read("/api/v1/me/enrolments", { signal }), read("/api/v1/me/credentials", { signal }), read("/api/v1/me/devices", { signal }),
      ]);
      next = vouchers.find((/** @type {any} */ one) => ["enrol", "add_holder", "add_device"].includes(one.kind));
      // The key may have been made on another device; this one signs with it only once the signer has admitted it.
      const admitted = devices.some((/** @type {any} */ one) => one.id === me.device && one.admitted);
      if (!next && admitted && credentials.some((/** @type {any} */ one) => one.certificate)) return ready();
      if (admitted) next ??= credentials[0];
    } catch (error) {
      if (signal.aborted) return;
      if (!shown) fill(main, trouble(error));
      continue;
    }
    const now = next?.joined ? "holder" : next?.voucher ? "voucher" : next ? "certificate" : "code";
    if (now === shown || signal.aborted) continue;
    shown = now;
    if (now === "code") compare();
    else if (now === "holder") wait("enrolHolder", "enrolHolderHelp");
    else if (now === "certificate") wait("enrolWaits", "enrolWaitsHelp");
    else return choose(next);
  }

  function compare() {
    fill(
      main,
      h(
        "div", { class: "compare" }, h("p", {}, t("codeHelp")),
        h("p", { class: "code", "aria-label": [...code].join(" ") }, code),
        h("p", { class: "soft", role: "status" }, h("span", { class: "spin" }), t("codeWait")),
      ),
    );
    deeds(h("a", { class: "plain", href: home }, t("codeLater")));
  }
  /** @param {string} title @param {string} help */
  function wait(title, help) {
    fill(main, h("div", { class: "empty", role: "status" }, icon("wait"), h("p", {}, h("strong", {}, t(title))), h("p", { class: "soft" }, t(help))));
    deeds(h("a", { class: "plain", href: home }, t("codeLater")));
  }
  function ready() {
    localStorage.setItem("enrolled", "1");
    fill(main, h("div", { class: "empty good", role: "status" }, icon("check"), h("p", {}, h("strong", {}, t("enrolDone")))));
    deeds(h("a", { class: "main", href: home }, t("toInbox")));
  }
  /** @param {any} voucher */
  async function choose(voucher) {
    try {
      const said = await voucherOf(voucher);
      fill(
        main,
        h(
          "div", { class: "empty" }, icon("lock"), h("p", {}, t(voucher.kind === "add_device" ? "addReady" : "enrolReady")),
          h("p", { class: "soft" }, t(voucher.purpose === "seal" ? "purposeSeal" : "purposePerson")),
          h("p", {}, outside(commonName(said.subject))),
        ),
      );
      deeds(
        voucher.kind === "add_device"
          ? h("button", { class: "main", onclick: () => admit(voucher) }, t("addDo"))
          : h("button", { class: "main", onclick: () => ask(voucher) }, t("enrolDo")),
      );
    } catch (error) {
      fill(main, trouble(error));
    }
  }
  /** The key is there already, and so is its PIN. @param {any} voucher */
  function admit(voucher) {
    const pad = pinPad({
      label: t("pinOld"), deed: t("pinNext"), signal,
      submit: async (digits) => {
        try {
          await addDevice(voucher, digits);
          go("#/enrol");
        } catch (error) {
          pad.enable(!(error instanceof Unsafe) && !(error instanceof Problem && error.body.locked_until));
          pad.note(words(error));
        }
      },
    });
    deeds();
    fill(main, h("div", { class: "fill" }), pad.element);
  }
  /** @param {any} voucher */
  function ask(voucher) {
    const pad = newPin(signal, async (digits) => {
      try {
        const made = await enrol(voucher, digits);
        if (made.state === "waits_for_holder") wait("enrolHolder", "enrolHolderHelp");
        go("#/enrol");
      } catch (error) {
        pad.restart(words(error), !(error instanceof Unsafe));
      }
    });
    deeds();
    fill(main, h("div", { class: "fill" }), pad.element);
  }
}

/** What stands behind CN= in a name. @param {string} subject */
export const commonName = (subject) => /(?:^|,)CN=((?:\\.|[^,\\])*)/.exec(subject)?.[1].replace(/\\(.)/g, "$1") ?? subject;

/**
 * A pad that takes a new PIN twice. @param {AbortSignal} signal
 * @param {(digits: Uint8Array<ArrayBuffer>) => Promise<void>} submit
 */
export function newPin(signal, submit) {
  /** @type {Uint8Array<ArrayBuffer> | null} */
  let first = null;
  const pad = pinPad({
    label: "", deed: t("pinNext"), signal,
    submit: async (digits) => {
      const text = String.fromCharCode(...digits);
      if (!first) {
        if (guessable(text)) return start(t("pinWeak"));
        first = digits.slice();
        pad.label(`${t("pinRepeat")}. ${t("pinRepeatHelp")}`, t("pinNext"));
        return pad.enable(true);
      }
      const same = first.length === digits.length && first.every((digit, index) => digit === digits[index]);
      first.fill(0);
      first = null;
      if (!same) return start(t("pinDiffers"));
      await submit(digits);
    },
  });
  /** @param {string} note @param {boolean} [open] */
  function start(note, open = true) {
    pad.label(`${t("pinChoose")}. ${t("pinChooseHelp")}`, t("pinNext"));
    pad.enable(open);
    pad.note(note);
  }
  signal.addEventListener("abort", () => first?.fill(0));
  start("");
  return { element: pad.element, restart: start };
}
