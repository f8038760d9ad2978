/**
 * Who signs for whom (KT., TL., TUQ., TM., Q.): giving, seeing, revoking, and a waiting step put before a deputy. A grant is signed by this
 * device's approval key, and the server judges it. Also the images that stand on the page: a signature, the organisation's seal.
 */
import { call, every, now, post, read, self } from "./api.js";
import { random } from "./codec.js";
import { myStep } from "./document.js";
import { frame, has, nothing, trouble, waiting, words } from "./frame.js";
import { signJws } from "./jose.js";
import { date, t } from "./texts.js";
import { ask, choice, field, fill, h, icon, outside, say } from "./view.js";

const FORMS = ["KT", "TL", "TUQ", "TM", "Q"];
const DAY = 864e5;
const MOST_PNG = 2 << 20;

const tidy = (/** @type {string} */ text) => text.normalize("NFC").replace(/\s+/g, " ").trim();
/** Who signs KT. and TM.; heads of units sign TL. and TUQ. @param {any} person */
const deputy = ({ position }) => /^(phó |thứ trưởng)/i.test(tidy(position));

/** The words for how a grant stands. @param {any} grant */
function standing({ state, not_before: from, not_after: end }) {
  if (state === "revoked") return "deviceRevoked";
  return Date.parse(end) < now() ? "authEnded" : Date.parse(from) > now() ? "authEarly" : "authOn";
}
/** @param {any} grant */
const line = ({ authority }) => authority.replaceAll("\n", " / ");
/** The last day: its end is the next one's beginning. @param {any} grant */
const until = ({ not_after: end }) => date(new Date(Date.parse(end) - 1).toISOString());

/** @param {import("./frame.js").Screen} screen */
export async function authorityScreen({ me, signal }) {
  const { main, deeds } = frame({ title: t("authTitle"), back: "#/me", kind: "lone" });
  fill(main, waiting());
  const load = async () => {
    try {
      const [grants, people] = await Promise.all([every("/api/v1/grants", signal), every("/api/v1/people", signal)]);
      if (signal.aborted) return;
      const name = (/** @type {string} */ id) => people.find((one) => one.id === id)?.name ?? "";
      const mine = grants.filter((one) => one.grantor === me.person.id);
      const held = grants.filter((one) => one.holder === me.person.id);
      const others = grants.filter((one) => !mine.includes(one) && !held.includes(one));
      const group = (/** @type {string} */ title, /** @type {any[]} */ rows) =>
        rows.length > 0 && h("section", { class: "group" }, h("h2", {}, t(title)), h("div", { class: "lines" }, rows.map((one) => row(one, name))));
      fill(main, h("p", { class: "soft" }, t("authHelp")), !grants.length && nothing("pen", t("authNone")), group("authGiven", mine), group("authHeld", held), group("authOthers", others));
    } catch (error) {
      if (!signal.aborted) fill(main, trouble(error, load));
    }
  };
  /** @param {any} grant @param {(id: string) => string} name */
  function row(grant, name) {
    const state = standing(grant);
    const holder = name(grant.holder);
    const mine = grant.grantor === me.person.id;
    const revoke = async () => {
      if (!(await ask({ title: t("authRevokeAsk", { name: holder, line: line(grant) }), deed: t("deviceRevoke"), leave: t("cancel"), danger: true }))) return;
      await post(`/api/v1/grants/${grant.id}/revocation`, undefined, { tries: 3 }).catch((error) => say(words(error)));
      await load();
    };
    const open = state === "authOn" || state === "authEarly";
    return h(
      "div", { class: "line wrap" },
      h(
        "div", { class: "grow" }, outside(line(grant), "who"), " ", h("span", { class: open ? "chip here" : "chip" }, t(state)),
        h("div", {}, !mine && outside(name(grant.grantor)), !mine && " → ", outside(holder)), h("div", { class: "soft" }, t("authUntil", { date: until(grant) })),
        h("div", { class: "soft" }, outside(grant.paper)),
        grant.types.length > 0 && h("div", { class: "soft" }, outside(grant.types.join(", "))),
      ),
      open && (mine || has(me, "administrator")) && h("button", { class: "plain danger slim", onclick: revoke }, t("deviceRevoke")),
    );
  }
  deeds(has(me, "leader") && !deputy(me.person) && h("a", { class: "main", href: "#/authority/new" }, icon("plus"), t("authGive")));
  await load();
}

/** @param {import("./frame.js").Screen} screen */
export async function grantScreen({ me, signal, go }) {
  const { main, deeds } = frame({ title: t("authGive"), back: "#/authority", kind: "lone" });
  fill(main, waiting());
  const leaders = (await every("/api/v1/people", signal)).filter(({ id, roles }) => id !== me.person.id && roles.includes("leader"));
  const office = tidy(me.person.position).toUpperCase();
  let form = FORMS[0];

  const holder = h("select", { onchange: show });
  const typed = h("input", { maxlength: "100", autocomplete: "off", placeholder: "ỦY BAN NHÂN DÂN", oninput: show });
  const paper = h("input", { maxlength: "200", autocomplete: "off", placeholder: "Quyết định số 12/QĐ-UBND", oninput: show });
  const types = h("input", { maxlength: "900", autocomplete: "off", placeholder: "Công văn, Giấy mời", oninput: show });
  const urgency = h("select", {}, [4, 3, 2, 1, 0].map((one) => h("option", { value: one }, t(`u${one}`))));
  const day = (/** @type {number} */ at) => new Date(at - new Date().getTimezoneOffset() * 6e4).toISOString().slice(0, 10);
  const [from, end] = [0, 30].map((days) => h("input", { type: "date", value: day(now() + days * DAY), min: day(now()), oninput: show }));
  const typedField = field(t("authLine"), typed);
  const preview = h("p", { class: "who", role: "status" });
  const note = h("p", { class: "pin-note", role: "alert" });
  /** The office or the collective behind the form. */
  const behind = () => (typedField.hidden ? office : tidy(typed.value).toUpperCase());
  const said = () => `${form}. ${behind()}${form === "TM" ? ` / KT. ${office}` : ""}`;
  const button = h("button", { class: "main", onclick: act }, icon("pen"), t("authGive"));
  fill(
    main,
    h("section", { class: "group" }, choice(t("authForm"), FORMS.map((one) => [one, t(`auth_${one}`)]), form, choose), field(t("authHolder"), holder), typedField),
    h("section", { class: "group" }, field(t("authPaper"), paper), field(t("authTypes"), types, t("authTypesHelp")), field(t("authUrgency"), urgency), field(t("authFrom"), from), field(t("authUntil"), end)),
    h("section", { class: "group" }, h("p", { class: "soft" }, t("authShown")), preview, note),
  );
  deeds(button);
  choose(form);

  /** @param {string} one */
  function choose(one) {
    form = one;
    const fit = leaders.filter((person) => (["KT", "TM"].includes(form) ? deputy(person) : form === "Q" || (person.position && !deputy(person))));
    fill(holder, fit.map(({ id, name, position }) => h("option", { value: id }, `${name}, ${position}`)));
    fill(note, !fit.length && t("authNobody"));
    typedField.hidden = !["TM", "Q"].includes(form);
    typed.value = form === "Q" ? office : "";
    show();
  }
  function show() {
    fill(preview, said());
    const needs = [holder, paper, from, end, !typedField.hidden && typed, ["TL", "TUQ"].includes(form) && types];
    button.disabled = needs.some((one) => one && !tidy(one.value)) || from.value > end.value;
  }
  async function act() {
    const name = holder.selectedOptions[0].text;
    const last = new Date(`${end.value}T00:00`);
    const text = { name, line: said(), date: date(last.toISOString()) };
    if (!(await ask({ title: t("authAsk", text), deed: t("authGive"), leave: t("cancel") }))) return;
    button.disabled = true;
    try {
      const { approval } = /** @type {import("./store.js").Device} */ (await self());
      const grant = {
        v: 1, organisation: me.organisation_code, form, grantor: me.person.id, holder: holder.value,
        line: behind(), paper: tidy(paper.value),
        types: types.value.split(/[,;]/).map(tidy).filter(Boolean), urgency: +urgency.value, parent: "",
        not_before: Date.parse(`${from.value}T00:00`) * 1000, not_after: last.setDate(last.getDate() + 1) * 1000, nonce: random(16),
      };
      await post("/api/v1/grants", { grant: await signJws(grant, "hoatoc-grant+jws", approval.key, approval.print) }, { tries: 3 });
      say(t("kept"));
      go("#/authority");
    } catch (error) {
      if (signal.aborted) return;
      button.disabled = false;
      fill(note, words(error));
    }
  }
}

/** Put one's own waiting step before somebody else: a signature before who holds a grant, initials before anybody who may. @param {import("./frame.js").Screen} screen @param {string} id */
export async function deputyScreen({ me, signal, go }, id) {
  const { main, deeds } = frame({ title: t("deputyTitle"), back: `#/d/${id}`, kind: "lone" });
  fill(main, waiting());
  const [doc, people] = await Promise.all([read(`/api/v1/documents/${id}`, { signal }), every("/api/v1/people", signal)]);
  const step = myStep(doc, me);
  if (!step) return go(`#/d/${id}`);
  const initials = step.kind === "initials";
  /** @type {any[]} */
  const given = initials
    ? people.filter((one) => one.state === "active" && /staff|leader/.test(one.roles) && !doc.route.some((other) => other.person === one.id)).map(({ id: holder }) => ({ holder }))
    : (await every("/api/v1/grants", signal)).filter((one) => one.grantor === me.person.id && standing(one) === "authOn");
  if (!given.length) {
    fill(main, nothing("person", t("authNone")));
    return deeds(!initials && h("a", { class: "main", href: "#/authority" }, t("authTitle")));
  }
  let chosen = given[0];
  const person = (/** @type {any} */ one) => people.find(({ id: found }) => found === one.holder);
  const name = (/** @type {any} */ one) => person(one)?.name ?? "";
  const note = h("p", { class: "pin-note", role: "alert" });
  const act = async () => {
    try {
      await post(`/api/v1/documents/${id}/hand-over`, initials ? { person: chosen.holder } : { grant: chosen.id }, { tries: 3 });
      say(t("deputyDone", { name: name(chosen) }));
      go("#/");
    } catch (error) {
      if (!signal.aborted) fill(note, words(error));
    }
  };
  fill(
    main, h("p", { class: "number" }, outside(`${doc.number}/${doc.notation}`)), h("p", {}, outside(doc.subject)), h("p", { class: "soft" }, t("deputyHelp")),
    choice(t("authHolder"), given.map((one) => [one, [outside(name(one), "who"), outside(initials ? person(one).position : line(one)), !initials && h("div", { class: "soft" }, t("authUntil", { date: until(one) }))]]), chosen, (one) => (chosen = one)), note,
  );
  deeds(h("button", { class: "main", onclick: act }, icon("person"), t("deputyTitle")));
}

/** The image of one's own signature, or of the seal. @param {import("./frame.js").Screen} screen @param {string} which "mine" or "seal" */
export async function imageScreen({ signal }, which) {
  const seal = which === "seal";
  const { main, deeds } = frame({ title: t(seal ? "imageSeal" : "imageMine"), back: "#/me", kind: "lone" });
  const help = t(seal ? "imageSealHelp" : "imageMineHelp");
  const path = seal ? "/api/v1/organisation/seal-image" : "/api/v1/me/signature-image";
  const size = h("input", { type: "number", min: "15", max: "60", value: "36", inputmode: "decimal" });
  const place = h("div", { class: "ink", hidden: true });
  const note = h("p", { class: "pin-note", role: "alert" });
  /** @type {File | undefined} */
  let file;
  let url = "";
  const show = () => {
    file = input.files?.[0];
    input.value = "";
    const fits = file?.type === "image/png" && file.size <= MOST_PNG;
    URL.revokeObjectURL(url);
    url = file && fits ? URL.createObjectURL(file) : "";
    place.hidden = button.disabled = !fits;
    fill(place, url && h("img", { src: url, alt: t("imageChoose") }));
    fill(note, !fits && help);
  };
  const input = h("input", { class: "unseen", type: "file", accept: "image/png", tabindex: "-1", "aria-label": t("imageChoose"), onchange: show });
  /** @param {() => Promise<unknown>} deed */
  const act = async (deed) => {
    try {
      await deed();
      say(t("kept"));
    } catch (error) {
      if (!signal.aborted) fill(note, words(error));
    }
  };
  const put = () => {
    const form = new FormData();
    form.append("file", /** @type {File} */ (file));
    return call("PUT", seal ? `${path}?diameter_mm=${size.value}` : path, { form, tries: 3 });
  };
  const remove = async () => {
    if (await ask({ title: t("imageRemoveAsk"), deed: t("imageRemove"), leave: t("cancel"), danger: true })) await act(() => call("DELETE", path, { tries: 3 }));
  };
  const button = h("button", { class: "main", disabled: true, onclick: () => act(put) }, icon("check"), t("imageDo"));
  fill(
    main, h("p", {}, help), h("p", { class: "soft" }, t("imageLater")),
    h("button", { class: "plain", onclick: () => input.click() }, icon("plus"), t("imageChoose")), input, place,
    seal && field(t("imageSize"), size), note, h("button", { class: "plain danger", onclick: remove }, t("imageRemove")),
  );
  deeds(button);
  signal.addEventListener("abort", () => URL.revokeObjectURL(url));
}
