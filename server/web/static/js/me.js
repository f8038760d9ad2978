/** The person's own: signing keys, PIN, emergency freeze, devices, settings. */
import { Problem, call, logOut, read } from "./api.js";
import { frame, keepsPeople, signs, trouble, waiting, words } from "./frame.js";
import { commonName, newPin } from "./join.js";
import { pushSettings } from "./notices.js";
import { pinPad } from "./pinpad.js";
import { leave as leavePush } from "./push.js";
import { changePin } from "./signing.js";
import { date, dateTime, language, speak, t } from "./texts.js";
import { ask, fill, h, icon, outside, say } from "./view.js";

/** @param {import("./frame.js").Screen} screen */
export async function meScreen({ me, signal, go }) {
  const { main } = frame({ title: t("meTitle"), me, tab: "me" });
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
      keepsPeople(me) && h("a", { class: "line", href: "#/people" }, icon("people"), t("peopleTitle"), icon("right")),
      h("a", { class: "line", href: "#/verify" }, icon("tick"), t("verifyTitle"), icon("right")),
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
        : signs(me) ? h("a", { class: "line", href: "#/enrol" }, icon("lock"), h("span", {}, t("enrolCard"))) : h("p", { class: "soft" }, t("meNoKeys")),
      vouchers.length > 0 && h("a", { class: "card call", href: "#/enrol" }, icon("key"), h("strong", {}, t("voucherHere"))),
      newcomers.map((/** @type {any} */ one) => h("a", { class: "card call", href: `#/handover/${one.digest}` }, icon("seal"), h("span", {}, h("strong", {}, t("handOverTitle")), h("br"), outside(one.newcomer)))),
      held.some((/** @type {any} */ one) => one.certificate) && !frozen && [
        h("a", { class: "line", href: "#/pin" }, icon("pen"), t("pinChange"), icon("right")),
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
      h("a", { class: "line", href: "#/device" }, icon("plus"), t("deviceAdd"), icon("right")));
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
  const choice = (/** @type {string} */ title, /** @type {string} */ now, /** @type {[string, string][]} */ all, /** @type {(value: any) => void} */ act) =>
    h(
      "fieldset", {}, h("legend", {}, title),
      h(
        "div", { class: "choices" },
        all.map(([value, text]) =>
          h("label", { class: "choice" }, h("input", { type: "radio", name: title, value, checked: value === now, onchange: () => act(value) }), h("span", {}, text)),
        ),
      ),
    );
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
    choice(t("lang"), language(), [["vi", "Tiếng Việt"], ["en", "English"]], (value) => {
      speak(value);
      go("#/me");
    }),
    choice(t("theme"), localStorage.getItem("theme") ?? "auto", [["auto", t("themeAuto")], ["light", t("themeLight")], ["dark", t("themeDark")]], (value) => {
      localStorage.setItem("theme", value);
      dress();
    }),
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
