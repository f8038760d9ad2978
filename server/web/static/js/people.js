/**
 * Other people's devices and keys: whoever looks after them. The registration officer compares codes, signs vouchers here and brings
 * certificates in; the officer's own key never leaves this browser, and the signer believes it once its operator has entered it
 * (signer.md). Duty officers freeze and revoke, administrators make pairing codes. Also: one's own further device, and the holder who hands
 * a seal over. Long because these screens share their words, lines and calls, and a phone that signs never loads them.
 */
import { call, every, now, post, read } from "./api.js";
import { random, unb64u } from "./codec.js";
import { frame, has, lull, nothing, trouble, waiting, words } from "./frame.js";
import { commonName } from "./me.js";
import { peekJws, shortCode, signJws, thumbprint } from "./jose.js";
import { pinPad } from "./pinpad.js";
import { Unsafe, handOver } from "./signing.js";
import * as store from "./store.js";
import { dateTime, t } from "./texts.js";
import { ask, choice, download, field, fill, h, icon, outside, say } from "./view.js";

const TYP = "hoatoc-voucher+jws";
const LIFE_US = 3.5 * 86_400e6; // the signer takes at most 7 days

/** What a voucher says, signed with the officer's key. @param {store.DeviceKey} officer @param {Record<string, unknown>} said @returns {Promise<string>} */
const voucher = (officer, said) =>
  signJws({ v: 1, ...said, not_after: Math.round(now() * 1000 + LIFE_US), nonce: random(16) }, TYP, officer.key, officer.print);

/** @param {import("./frame.js").Screen} screen */
export async function officerScreen({ me, signal }) {
  const { main } = frame({ title: t("navOfficer"), me, tab: "officer" });
  const own = h("section", { class: "group" });
  const devices = h("section", {}, waiting());
  const certificates = h("section", {});
  fill(main, own, devices, certificates, h("a", { class: "plain", href: "#/people" }, icon("people"), t("peopleTitle")));
  await ownKey(own, me);
  for (let shown = ""; !signal.aborted; await lull(4000, 15_000)) {
    try {
      const found = await Promise.all([read("/api/v1/devices/awaiting-voucher", { signal }), read("/api/v1/credentials/pending", { signal })]);
      if (signal.aborted || JSON.stringify(found) === shown) continue;
      shown = JSON.stringify(found);
      const [awaiting, pending] = found;
      fill(devices, h("h2", {}, t("officerDevices")), awaiting.length ? awaiting.map(waitingDevice) : nothing("check", t("officerNone")));
      fill(certificates, pending.length > 0 && h("h2", {}, t("officerPending")), pending.map(pendingCertificate));
    } catch (error) {
      if (!signal.aborted && !shown) fill(devices, trouble(error));
    }
  }
}

/** @param {any} one */
const waitingDevice = ({ device, person_name: name }) =>
  h(
    "a", { class: "card", href: `#/people/${device.person}/${device.id}` }, outside(name, "who"),
    h("span", { class: "meta" }, icon("phone"), outside(device.label), device.office && h("span", { class: "chip" }, t("deviceOffice")), h("time", {}, dateTime(device.created_at))),
  );

/** The officer's key: made here, shown to whoever runs the signer. @param {HTMLElement} place @param {import("./frame.js").Me} me */
async function ownKey(place, me) {
  const key = /** @type {store.DeviceKey | undefined} */ (await store.get("officer"));
  if (!key) {
    const make = async () => {
      await navigator.storage?.persist?.();
      await store.put("officer", await store.newKey());
      await ownKey(place, me);
    };
    return fill(place, h("h2", {}, t("officerKey")), h("p", {}, t("officerKeyNone")), h("button", { class: "main", onclick: make }, icon("key"), t("officerKeyMake")));
  }
  const file = () => download(new TextEncoder().encode(JSON.stringify(key.jwk)).buffer, "application/json", "officer.json");
  fill(
    place,
    h(
      "details", {}, h("summary", {}, t("officerKey")), h("p", {}, t("officerKeyHelp")),
      h("p", { class: "command" }, `hoatoc signer trust-officer officer.json --thumbprint ${key.print} --organisation ${me.organisation_code}`),
      h("button", { class: "plain", onclick: file }, icon("down"), "officer.json"),
    ),
  );
}

/** A certification request to carry away, and the certificate that comes back for it. @param {any} one */
function pendingCertificate(one) {
  const name = commonName(one.subject);
  const csr = () => {
    const body = btoa(String.fromCharCode(...unb64u(one.csr))).replace(/.{64}/g, "$&\n");
    download(new TextEncoder().encode(`-----BEGIN CERTIFICATE REQUEST-----\n${body}\n-----END CERTIFICATE REQUEST-----\n`).buffer, "application/pkcs10", `${one.id}.csr`);
  };
  const bring = async () => {
    try {
      const [certificate, ...chain] = (await Promise.all([...(input.files ?? [])].map(certificates))).flat();
      if (!certificate) return say(t("certNone"));
      await call("POST", `/api/v1/credentials/${one.id}/certificate`, { json: { certificate, chain: chain.slice(0, 1) }, tries: 3 });
      say(t("certTaken"));
      card.remove();
    } catch (error) {
      say(words(error));
    }
    input.value = "";
  };
  const input = h("input", { class: "unseen", type: "file", multiple: true, accept: ".pem,.crt,.cer,.der", tabindex: "-1", "aria-label": t("certBring"), onchange: bring });
  const card = h(
    "article", { class: "card" }, outside(name, "who"), h("span", { class: "soft" }, t(one.kind === "seal" ? "purposeSeal" : "purposePerson")),
    h(
      "div", { class: "choices" }, h("button", { class: "plain slim grow", onclick: csr }, icon("down"), t("certRequest")),
      h("button", { class: "plain slim grow", onclick: () => input.click() }, icon("plus"), t("certBring")), input,
    ),
  );
  return card;
}

/** The certificates of a file, leaf first as authorities write them, base64url DER. @param {File} file */
async function certificates(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  if (bytes[0] === 0x30) return [btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "")];
  const blocks = new TextDecoder().decode(bytes).matchAll(/-----BEGIN CERTIFICATE-----([^-]+)-----END/g);
  return [...blocks].map(([, body]) => body.replace(/\s/g, "").replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, ""));
}

/** RFC 4514: what would end or begin another part of the name is escaped. @param {string} text */
const escaped = (text) => text.trim().replace(/[\\",+<>;=]/g, "\\$&").replace(/^[# ]/, "\\$&");

/** Compare the code, say what the voucher is for, sign it. @param {import("./frame.js").Screen} screen @param {string} person @param {string} id */
export async function voucherScreen({ me, signal, go }, person, id) {
  const { main, deeds } = frame({ title: t("voucherTitle"), back: "#/officer", kind: "lone" });
  fill(main, waiting());
  const officer = /** @type {store.DeviceKey | undefined} */ (await store.get("officer"));
  const [{ name, position }, devices, held] = await Promise.all([
    read(`/api/v1/people/${person}`, { signal }), read(`/api/v1/people/${person}/devices`, { signal }), read("/api/v1/credentials", { signal }),
  ]);
  const device = /** @type {NonNullable<typeof devices[0]>} */ (devices.find((/** @type {any} */ one) => one.id === id && !one.revoked_at));
  if (!officer || !device) {
    if (!officer) say(t("officerKeyNone"));
    return go("#/officer");
  }
  // Computed here from the key that the voucher will name: a code that the server only says would prove nothing (A3).
  const { kty, crv, x, y } = /** @type {import("./jose.js").Jwk} */ (device.approval_jwk);
  const jwk = { crv, kty, x, y }; // the order in which the signer writes it
  const code = await shortCode(await thumbprint(jwk));
  // Base32 has no 0 and no 1: whoever enters them saw O and I.
  const bare = (/** @type {string} */ text) => text.toUpperCase().replace(/0/g, "O").replace(/1/g, "I").replace(/[^A-Z2-7]/g, "");

  const typed = h("input", { id: "code", class: "code-in", autocomplete: "off", autocapitalize: "characters", spellcheck: "false", maxlength: "12", placeholder: "XXXX-XXXX", oninput: compare });
  const verdict = h("p", { class: "verdict", role: "status" });
  const form = h("section", { class: "group", hidden: true });
  const note = h("p", { class: "pin-note", role: "alert" });
  fill(
    main,
    h("section", { class: "group" }, outside(name, "big"), h("p", { class: "soft" }, outside(position), position && " · ", outside(device.label), device.office && ` · ${t("deviceOffice")}`)),
    h("section", {}, field(t("voucherCode"), typed, t("voucherCodeHelp")), verdict), form, note,
  );
  const button = h("button", { class: "main", disabled: true, onclick: act }, icon("key"), t("voucherDo"));
  deeds(button);

  const mine = (/** @type {any} */ one) => one.holders.includes(device.person);
  /** @type {{kind: string, purpose: string, credential: string, subject: string, text: string}[]} */
  const choices = [
    ...held.filter(mine).map((/** @type {any} */ one) => ({ kind: "add_device", purpose: one.kind, credential: one.id, subject: "", text: t(one.kind === "seal" ? "voucherDeviceSeal" : "voucherDevice", { name: commonName(one.subject) }) })),
    { kind: "enrol", purpose: "person", credential: "", subject: `CN=${escaped(name)},O=${escaped(me.organisation_name)},C=VN`, text: t("voucherPerson") },
    ...held.filter((/** @type {any} */ one) => one.kind === "seal" && !mine(one)).map((/** @type {any} */ one) => ({ kind: "add_holder", purpose: "seal", credential: one.id, subject: "", text: t("voucherHolder", { name: commonName(one.subject) }) })),
    { kind: "enrol", purpose: "seal", credential: "", subject: `CN=${escaped(me.organisation_name)},C=VN`, text: t("voucherSeal") },
  ];
  let chosen = choices[0];
  const subject = h("textarea", { id: "subject", rows: "2", autocomplete: "off", spellcheck: "false", maxlength: "300" });
  const forbidden = h("input", { id: "forbidden", autocomplete: "off", inputmode: "numeric", maxlength: "120" });
  const rsa = h("select", { id: "keytype" }, h("option", { value: "p256" }, "ECDSA P-256"), h("option", { value: "rsa3072" }, "RSA 3072"));
  const subjectField = field(t("voucherSubject"), subject, t("voucherSubjectHelp"));
  const keyField = field(t("voucherKeyType"), rsa);
  const pinField = field(t("voucherForbidden"), forbidden, t("voucherForbiddenHelp"));
  fill(form, choice(t("voucherWhat"), choices.map((one) => [one, outside(one.text)]), chosen, choose), subjectField, keyField, pinField);
  choose(chosen);

  /** @param {typeof chosen} one */
  function choose(one) {
    chosen = one;
    subject.value = one.subject;
    subjectField.hidden = keyField.hidden = one.kind !== "enrol";
    pinField.hidden = one.kind === "add_device";
  }
  function compare() {
    const given = bare(typed.value);
    const same = given === bare(code);
    fill(verdict, given.length >= 8 && [icon(same ? "check" : "warn"), t(same ? "voucherSame" : "voucherOther")]);
    verdict.className = same ? "verdict good" : "verdict late";
    form.hidden = button.disabled = !same;
  }
  async function act() {
    button.disabled = true;
    fill(note);
    try {
      const said = {
        kind: chosen.kind, organisation: me.organisation_code, person: device.person, credential: chosen.credential || random(16), key_type: rsa.value,
        subject: chosen.kind === "enrol" ? subject.value.replace(/\s+/g, " ").trim() : "", approval_key: jwk,
        pin_forbidden: chosen.kind === "add_device" ? [] : (forbidden.value.match(/\d{4,}/g) ?? []),
      };
      await post("/api/v1/vouchers", { voucher: await voucher(/** @type {store.DeviceKey} */ (officer), said), purpose: chosen.purpose }, { tries: 3 });
      fill(main, h("div", { class: "empty good", role: "status" }, icon("check"), h("p", { class: "big" }, t("voucherDone")), h("p", { class: "soft" }, t(chosen.kind === "enrol" ? "voucherDoneEnrol" : "voucherDoneAdd"))));
      deeds(h("a", { class: "main", href: "#/officer" }, t("navOfficer")));
    } catch (error) {
      if (signal.aborted) return;
      button.disabled = false;
      fill(note, words(error));
    }
  }
}

/** Let a newcomer hold a seal too: the written handover of SIG-8, with the present holder's PIN. @param {import("./frame.js").Screen} screen @param {string} digest */
export async function handOverScreen({ me, signal, go }, digest) {
  const { main, deeds } = frame({ title: t("handOverTitle"), back: "#/me", kind: "lone" });
  fill(main, waiting());
  const [newcomers, held] = await Promise.all([read("/api/v1/me/handovers", { signal }), read("/api/v1/me/credentials", { signal })]);
  const one = /** @type {NonNullable<typeof newcomers[0]>} */ (newcomers.find((/** @type {any} */ each) => each.digest === digest));
  if (!one || !has(me, "clerk")) return go("#/me");
  const said = peekJws(one.voucher, TYP);
  const subject = held.find((/** @type {any} */ each) => each.id === one.credential)?.subject ?? "";
  fill(
    main,
    h("section", { class: "group" }, h("p", { class: "soft" }, t("handOverTo")), outside(one.newcomer, "big"), h("p", { class: "soft" }, t("purposeSeal")), h("p", {}, outside(commonName(subject)))),
    h("p", {}, t("handOverCode")), h("p", { class: "code" }, await shortCode(await thumbprint(said.approval_key))), h("p", { class: "soft" }, t("handOverHelp")),
  );
  deeds(h("button", { class: "main", onclick: ask }, icon("seal"), t("handOverDo")));

  function ask() {
    const pad = pinPad({
      label: t("handOverPin", { name: one.newcomer }), deed: t("handOverDo"), signal,
      submit: async (digits) => {
        try {
          await handOver(one, digits);
          fill(main, h("div", { class: "empty good", role: "status" }, icon("check"), h("p", { class: "big" }, t("handOverDone")), outside(one.newcomer)));
          deeds(h("a", { class: "main", href: "#/me" }, t("back")));
        } catch (error) {
          pad.enable(!(error instanceof Unsafe));
          pad.note(words(error));
        }
      },
    });
    deeds();
    fill(main, h("div", { class: "fill" }), pad.element);
  }
}

/** @param {import("./frame.js").Screen} screen */
export async function peopleScreen({ me, signal }) {
  const { main } = frame({ title: t("peopleTitle"), me, tab: "people", back: has(me, "registration_officer") ? "#/officer" : "#/me" });
  fill(main, waiting());
  const people = await every("/api/v1/people", signal);
  if (signal.aborted) return;
  const plain = (/** @type {string} */ text) => text.normalize("NFD").replace(/\p{M}/gu, "").replace(/đ/gi, "d").toLowerCase();
  const search = h("input", { type: "search", "aria-label": t("peopleSearch"), placeholder: t("peopleSearch"), autocomplete: "off", oninput: draw });
  const lines = h("div", { class: "group lines" });
  fill(main, search, lines);
  draw();

  function draw() {
    const wanted = plain(search.value);
    const found = people.filter(({ name, position }) => plain(`${name} ${position}`).includes(wanted)).slice(0, 100);
    fill(lines, found.length ? found.map((one) =>
      h(
        "a", { class: "line", href: `#/people/${one.id}` }, icon(one.key_frozen ? "lock" : "person"),
        h("div", { class: "grow" }, outside(one.name, "who"), h("div", { class: "soft" }, outside(one.position)), one.key_frozen && h("div", { class: "late" }, t("frozenShort"))), icon("right"),
      )) : h("p", { class: "soft" }, t("peopleNone")));
  }
}

/** @param {import("./frame.js").Screen} screen @param {string} id */
export async function personScreen({ me, signal, go }, id) {
  const { main } = frame({ title: t("peopleTitle"), back: "#/people", kind: "lone" });
  fill(main, waiting());
  const [officer, duty, administrator] = ["registration_officer", "duty_officer", "administrator"].map((role) => has(me, role));
  const load = async () => {
    try {
      const [person, devices] = await Promise.all([read(`/api/v1/people/${id}`, { signal }), read(`/api/v1/people/${id}/devices`, { signal })]);
      if (!signal.aborted) draw(person, devices);
    } catch (error) {
      if (!signal.aborted) fill(main, trouble(error, load));
    }
  };
  /** @param {string} title @param {string} deed @param {"PUT" | "POST" | "DELETE"} method @param {string} path */
  const act = (title, deed, method, path) => async () => {
    if (!(await ask({ title, deed, leave: t("cancel"), danger: true }))) return;
    await call(method, path, { tries: 3 }).catch((error) => say(words(error)));
    await load();
  };

  /** @param {any} person @param {any[]} devices */
  function draw(person, devices) {
    const path = `/api/v1/people/${id}`;
    fill(
      main,
      h(
        "section", { class: "group" }, outside(person.name, "big"), h("p", { class: "soft" }, outside(person.position)),
        h("p", { class: "meta" }, person.roles.map((/** @type {string} */ role) => h("span", { class: "chip" }, t(`role_${role}`)))),
        person.key_frozen && h("p", { class: "banner" }, icon("lock"), t("frozenShort")),
        duty && !person.key_frozen && h("button", { class: "plain danger", onclick: act(t("freezeOther", { name: person.name }), t("freezeDo"), "PUT", `${path}/key-freeze`) }, icon("lock"), t("freezeDo")),
        (duty || officer) && person.key_frozen && h("button", { class: "plain", onclick: act(t("unfreezeAsk", { name: person.name }), t("unfreezeDo"), "DELETE", `${path}/key-freeze`) }, t("unfreezeDo")),
      ),
      h("section", { class: "group" }, h("h2", {}, t("personDevices")), h("div", { class: "lines" }, devices.length ? devices.map(device) : h("p", { class: "soft" }, t("personNoDevices")))),
      administrator && pairing(id),
    );
  }
  /** @param {any} one */
  function device(one) {
    const name = h("div", { class: "grow" }, outside(one.label, "who"), " ", one.office && h("span", { class: "chip" }, t("deviceOffice")), h("div", { class: "soft" }, one.revoked_at ? t("deviceRevoked") : t("deviceSeen", { time: dateTime(one.seen_at) })));
    if (one.revoked_at) return h("div", { class: "line" }, icon("phone"), name);
    return h(
      "div", { class: "line wrap" }, icon("phone"), name,
      officer && h("button", { class: "plain slim", onclick: () => go(`#/people/${id}/${one.id}`) }, t("voucherTitle")),
      (duty || administrator) && h("button", { class: "plain slim danger", onclick: act(t("deviceRevokeAsk", { label: one.label }), t("deviceRevoke"), "POST", `/api/v1/devices/${one.id}/revocation`) }, t("deviceRevoke")),
    );
  }
  await load();
}

/** A further device of one's own. */
export async function furtherDevice() {
  const { main } = frame({ title: t("deviceAdd"), back: "#/me", kind: "lone" });
  fill(main, h("p", {}, t("deviceAddHelp")), pairing(""));
}

/** A pairing code on demand: a picture for the other device's camera, and the link for those without one. @param {string} person Somebody else, else oneself, whose device is never one of the office. */
function pairing(person) {
  const office = h("input", { type: "checkbox" });
  const place = h("div", { class: "qr-place" });
  const make = async () => {
    button.disabled = true;
    try {
      const made = await (person ? post(`/api/v1/people/${person}/pairing-codes`, { office: office.checked }) : post("/api/v1/me/pairing-codes"));
      const link = h("textarea", { readonly: true, rows: "4", class: "small", "aria-label": t("pairLink"), onfocus: () => link.select() }, made.link);
      const copy = () => navigator.clipboard.writeText(made.link).then(() => say(t("copied")), () => link.focus());
      fill(place, picture(made.qr), h("p", {}, t("pairHow", { time: dateTime(made.expires_at) })), link, h("button", { class: "plain", onclick: copy }, t("copy")));
    } catch (error) {
      say(words(error));
    }
    button.disabled = false;
  };
  const button = h("button", { class: "main", onclick: make }, icon("phone"), t("pairMake"));
  return h("section", { class: "group" }, person && h("h2", {}, t("pairTitle")), person && h("label", { class: "tickline" }, office, t("pairOffice")), button, place);
}

/** Modules as one path, dark on white in every theme: cameras read nothing else reliably. @param {string[]} rows */
function picture(rows) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const size = rows.length + 8;
  svg.setAttribute("viewBox", `-4 -4 ${size} ${size}`);
  svg.setAttribute("class", "qr");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", t("pairPicture"));
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", rows.map((row, y) => [...row.matchAll(/1+/g)].map(({ index, 0: run }) => `M${index} ${y}h${run.length}v1h-${run.length}z`).join("")).join(""));
  svg.append(path);
  return svg;
}
