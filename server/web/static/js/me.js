/**
 * The person's own. How a device comes in: pairing by a link, the code that the officer compares, enrolment with the first PIN. Then:
 * signing keys, PIN, emergency freeze, devices, settings.
 */
import { Problem, call, keep, logOut, pair, pause, read, resume, self } from "./api.js";
import { frame, has, keepsPeople, lull, reads, signs, trouble, waiting, words } from "./frame.js";
import { shortCode } from "./jose.js";
import { pushSettings } from "./notices.js";
import { guessable } from "./pin.js";
import { pinPad } from "./pinpad.js";
import { leave as leavePush } from "./push.js";
import { Unsafe, addDevice, changePin, enrol, voucherOf } from "./signing.js";
import { newKey } from "./store.js";
import { date, dateTime, language, speak, t } from "./texts.js";
import { ask, choice, field, fill, h, icon, outside, say } from "./view.js";

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
  // What stands on an iPhone's home screen keeps its own storage, and a link never opens there. Nor is there an address to change: who is refused pastes another.
  const paste = (/** @type {HTMLElement} */ said) => {
    const pasted = h("input", { autocomplete: "off", autocapitalize: "off", spellcheck: "false" });
    const take = () => {
      const address = pasted.value.trim();
      if (!address.startsWith(`${location.origin}/pair#`)) return say(t("pairOther", { host: location.host }));
      history.replaceState(null, "", address);
      welcome(done);
    };
    fill(main, said, field(t("pairPaste"), pasted));
    deeds(h("button", { class: "main", onclick: take }, t("pinNext")));
  };
  if (!link?.code) return paste(h("div", { class: "empty" }, icon("phone"), h("p", {}, t("welcome"))));
  if (!/^[A-Za-z0-9_-]{43}$/.test(link.signer)) return paste(h("div", { class: "empty", role: "alert" }, icon("warn"), h("p", {}, t("pairNoSigner"))));
  const label = deviceName();
  const act = async () => {
    fill(main, h("p", { class: "empty", role: "status" }, h("span", { class: "spin" }), t("pairing")));
    deeds();
    try {
      await redeem(link, label);
      history.replaceState(null, "", "/#/enrol");
      done();
    } catch (error) {
      if (error instanceof Problem && error.status < 500) paste(trouble(error, error.code === "pairing-code-invalid" ? undefined : act));
      else fill(main, trouble(error, act));
    }
  };
  fill(
    main,
    h(
      "div", { class: "empty" }, icon("phone"), h("p", {}, t("pairFound", { host: location.host })),
      h("p", { class: "soft" }, t("pairName"), " ", h("strong", {}, label)),
      /iPhone/.test(navigator.userAgent) && !matchMedia("(display-mode: standalone)").matches && h("p", { class: "banner" }, t("pairHome")),
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

  for (let shown = ""; !signal.aborted; await lull(2500, 10_000)) {
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
function newPin(signal, submit) {
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

/** @param {string} href @param {string} drawing @param {string} text */
const way = (href, drawing, text) => h("a", { class: "line", href }, icon(drawing), t(text), icon("right"));

/** @param {import("./frame.js").Screen} screen */
export async function meScreen({ me, signal, go }) {
  const { main } = frame({ title: t("navMe"), me, tab: "me" });
  const keys = h("section", { class: "group" }, h("h2", {}, t("meKeys")), waiting());
  const devices = h("section", { class: "group" }, h("h2", {}, t("meDevices")), waiting());
  fill(
    main,
    h(
      "section", { class: "who-am-i" }, outside(me.person.name, "big"),
      h("p", { class: "soft" }, outside(me.person.position), me.person.position && " · ", outside(me.organisation_name)),
    ),
    keys, devices,
    h(
      "section", { class: "group lines" },
      (has(me, "leader") || has(me, "administrator")) && [way("#/reports", "inbox", "reports"), way("#/authority", "key", "authTitle")],
      signs(me) && way("#/image/mine", "pen", "imageMine"),
      (has(me, "registration_officer") || has(me, "administrator")) && way("#/image/seal", "seal", "imageSeal"),
      keepsPeople(me) && way("#/people", "people", "peopleTitle"), way("#/away", "wait", "awayTitle"), way("#/told", "bell", "toldTitle"),
      ["leader", "administrator", "duty_officer"].some((role) => has(me, role)) && way("#/held", "warn", "held"), has(me, "administrator") && way("#/rules", "pen", "rules"),
      way("#/calendar", "down", "feed"), way("#/verify", "tick", "verifyTitle"),
    ),
    settings(go, signal), h("p", { class: "soft small" }, t("trust")),
  );

  const loadKeys = async () => {
    const [held, now, vouchers, newcomers] = await Promise.all([
      read("/api/v1/me/credentials", { signal }), read("/api/v1/me", { signal }),
      read("/api/v1/me/enrolments", { signal }), read("/api/v1/me/handovers", { signal }),
    ]);
    const frozen = now.person.key_frozen;
    me.person.key_frozen = frozen;
    fill(
      keys, h("h2", {}, t("meKeys")),
      frozen && h("p", { class: "banner", role: "alert" }, icon("lock"), t("frozen")),
      held.length
        ? h("div", { class: "lines" }, held.map(key))
        : reads(me) ? h("a", { class: "line", href: "#/enrol" }, icon("lock"), h("span", {}, t("enrolCard"))) : h("p", { class: "soft" }, t("meNoKeys")),
      vouchers.length > 0 && h("a", { class: "card call", href: "#/enrol" }, icon("key"), h("strong", {}, t("voucherHere"))),
      newcomers.map((/** @type {any} */ one) => h("a", { class: "card call", href: `#/handover/${one.digest}` }, icon("seal"), h("span", {}, h("strong", {}, t("handOverTitle")), h("br"), outside(one.newcomer)))),
      held.some((/** @type {any} */ one) => one.certificate) && !frozen && [
        way("#/pin", "lock", "pinChange"),
        h("button", { class: "plain danger", onclick: freeze }, icon("lock"), t("freeze")),
        h("p", { class: "soft small" }, t("freezeHelp")),
      ],
    );
  };
  const freeze = async () => {
    if (!(await ask({ title: t("freezeAsk"), deed: t("freeze"), leave: t("cancel"), danger: true }))) return;
    try {
      await call("PUT", "/api/v1/me/key-freeze", { tries: 5 });
      await loadKeys();
    } catch (error) {
      say(words(error));
    }
  };
  const loadDevices = async () => {
    const mine = await read("/api/v1/me/devices", { signal });
    fill(devices, h("h2", {}, t("meDevices")), h("div", { class: "lines" }, mine.map(device)),
      way("#/device", "plus", "deviceAdd"));
  };
  /** @param {any} one */
  function device(one) {
    const here = one.id === me.device;
    const revoke = async () => {
      if (!(await ask({ title: t("deviceRevokeAsk", { label: one.label }), deed: t("deviceRevoke"), leave: t("cancel"), danger: true }))) return;
      try {
        await call("POST", `/api/v1/devices/${one.id}/revocation`, { tries: 4 });
        await loadDevices();
      } catch (error) {
        say(words(error));
      }
    };
    return h(
      "div", { class: "line" }, icon("phone"),
      h(
        "div", { class: "grow" }, h("strong", {}, outside(one.label)), " ", here && h("span", { class: "chip here" }, t("deviceHere")), one.office && h("span", { class: "chip" }, t("deviceOffice")),
        h("div", { class: "soft" }, one.revoked_at ? t("deviceRevoked") : t("deviceSeen", { time: dateTime(one.seen_at) })),
        h("div", { class: "soft" }, t("deviceCode", { code: one.short_code })),
      ),
      !one.revoked_at && !here && h("button", { class: "plain danger slim", onclick: revoke }, t("deviceRevoke")),
    );
  }
  const load = async () => {
    try {
      await Promise.all([loadKeys(), loadDevices()]);
    } catch (error) {
      if (!signal.aborted) fill(keys, trouble(error, load));
    }
  };
  await load();
}

/** How long a certificate is good for; its last month and its end are said aloud. @param {string} end */
function validity(end) {
  const days = (Date.parse(end) - Date.now()) / 86_400_000;
  return h("div", { class: days < 30 ? "late" : "soft" }, t(days < 0 ? "keyEnded" : days < 30 ? "keyEnds" : "keyValid", { date: date(end) }));
}

/** @param {any} one */
const key = (one) =>
  h(
    "div", { class: "line" }, icon(one.kind === "seal" ? "seal" : "pen"),
    h(
      "div", { class: "grow" }, h("strong", {}, t(one.kind === "seal" ? "purposeSeal" : "purposePerson")), h("div", {}, outside(commonName(one.subject))),
      one.certificate ? validity(one.not_after) : h("div", { class: "soft" }, t("keyWaits")),
    ),
  );

/** @param {(hash: string) => void} go @param {AbortSignal} signal */
function settings(go, signal) {
  const leave = async () => {
    if (!(await ask({ title: t("logOutAsk"), deed: t("logOut"), leave: t("cancel") }))) return;
    try {
      await leavePush().catch(() => {});
      await logOut();
      location.reload();
    } catch (error) {
      say(words(error));
    }
  };
  return h(
    "section", { class: "group" }, h("h2", {}, t("settings")),
    choice(t("lang"), [["vi", "Tiếng Việt"], ["en", "English"]], language(), (value) => {
      speak(/** @type {any} */ (value));
      go("#/me");
    }, "choices"),
    choice(t("theme"), [["auto", t("themeAuto")], ["light", t("themeLight")], ["dark", t("themeDark")]], localStorage.getItem("theme") ?? "auto", (value) => {
      localStorage.setItem("theme", value);
      dress();
    }, "choices"),
    pushSettings(signal),
    h("button", { class: "plain", onclick: leave }, t("logOut")),
  );
}

/** The chosen theme, or the system's. */
export function dress() {
  const theme = localStorage.getItem("theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
}

/** Present PIN, then the new one twice. @param {import("./frame.js").Screen} screen */
export async function pinScreen({ me, signal, go }) {
  const { main } = frame({ title: t("pinChange"), back: "#/me", kind: "lone" });
  fill(main, waiting());
  const held = (await read("/api/v1/me/credentials", { signal })).filter((/** @type {any} */ one) => one.certificate);
  if (!held.length) return go("#/me");
  if (held.length === 1) return start(held[0]);
  fill(main, h("div", { class: "lines" }, held.map((/** @type {any} */ one) => h("button", { class: "line", onclick: () => start(one) }, key(one), icon("right")))));

  /** @param {any} credential */
  function start(credential, note = "") {
    const pad = pinPad({
      label: t("pinOld"), deed: t("pinNext"), signal,
      submit: async (digits) => second(credential, digits.slice()),
    });
    fill(main, h("div", { class: "fill" }), pad.element);
    pad.note(note);
  }
  /** @param {any} credential @param {Uint8Array<ArrayBuffer>} old */
  function second(credential, old) {
    signal.addEventListener("abort", () => old.fill(0));
    const pad = newPin(signal, async (digits) => {
      try {
        await changePin({ credential: credential.id, organisation: me.organisation_code, pin: old, newPin: digits });
        old.fill(0);
        say(t("pinChanged"));
        go("#/me");
      } catch (error) {
        refuse(credential, old, error, pad);
      }
    });
    fill(main, h("div", { class: "fill" }), pad.element);
  }
  /** @param {any} credential @param {Uint8Array<ArrayBuffer>} old @param {any} error @param {{restart: (note: string, open?: boolean) => void}} pad */
  function refuse(credential, old, error, pad) {
    if (error instanceof Problem && error.code === "pin-weak") return pad.restart(t("pinWeak"));
    old.fill(0);
    start(credential, words(error));
  }
}
