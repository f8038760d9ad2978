/** Directions (bút phê): what is mine, what I gave, what is late; one with its tree and its text; giving, passing on, changing, reporting. */
import { call, events, every, post, read } from "./api.js";
import { chip, frame, nothing, trouble, waiting, words } from "./frame.js";
import { read as readManifest } from "./manifest.js";
import { live, sender, sent } from "./meetings.js";
import { pageList } from "./pages.js";
import { date, dateTime, language, t } from "./texts.js";
import { ask, choice, download, field, fill, h, icon, outside, say } from "./view.js";

const LISTS = /** @type {const} */ (["mine", "given", "late"]);
/** @type {typeof LISTS[number]} */
let which = "mine";

/** @typedef {ReturnType<typeof frame> & import("./frame.js").Screen & {id: string, what: string, subject: string}} Room */

/** What stands behind `#/o`: nothing, `new/` and what is directed on, or a direction and `change`. @param {import("./frame.js").Screen} screen @param {string} [rest] */
export function directives(screen, rest = "") {
  const [id, what, subject] = rest.split("/");
  const back = id === "new" ? `#/${what}/${subject}` : what ? `#/o/${id}` : id ? "#/o" : "#/";
  const made = frame({ title: t(what ? "o_new" : "o_all"), back, kind: "lone" });
  fill(made.main, waiting());
  return (what ? order : id ? one : list)({ ...screen, ...made, id, what, subject });
}

/** @param {any} line */
const facts = ({ position, words: said, progress, due_date: due, days_late: late }) => [
  h("span", { class: "soft" }, [position, said[language()], progress > 0 && progress < 100 && `${progress} %`].filter(Boolean).join(" · "), due && [" · ", t("due", { date: date(due) })]),
  late > 0 && h("strong", { class: "late" }, t("o_days", { n: late })),
];

/** @param {Room} room */
async function list({ main, signal }) {
  const place = h("section");
  const show = async () => {
    const asked = which;
    const over = () => signal.aborted || asked !== which;
    /** @type {any} */
    const found = await read(`/api/v1/directives?list=${asked}&limit=200`, { signal }).catch((error) => over() || fill(place, trouble(error, show)));
    if (over() || !found) return;
    const { items } = found;
    fill(place, items.length ? items.map((/** @type {any} */ { id, urgency, reference, title, author, author_unit: unit, line }) => h(
      "a", { class: `card u${urgency}`, href: `#/o/${id}` },
      h("span", { class: "meta" }, chip(urgency), outside(reference, "number"), which === "mine" && outside(`${author} · ${unit}`)),
      outside(title, "subject"), outside(line.text), h("span", { class: "meta" }, which !== "mine" && outside(line.name, "who"), facts(line)), outside(line.word),
    )) : nothing("check", t("o_none")));
  };
  fill(main, choice(t("o_work"), LISTS.map((name) => [name, t(`o_${name}`)]), which, (name) => {
    which = name;
    show();
  }, "choices"), place);
  events.addEventListener("notices", show, { signal });
  await show();
}

/** @param {Room} room */
async function one({ main, deeds, signal, go, id }) {
  const progress = h("input", { type: "number", min: "0", max: "99", inputmode: "numeric" });
  const word = h("textarea", { rows: "3" });
  const [report, why, pages, tree, head] = [h("section", { class: "facts" }, field(t("o_progress"), progress), field(t("o_word"), word)), h("textarea", { rows: "2", required: true }), h("div"), h("div", { class: "facts" }), h("div", { class: "facts" })];
  let drawn = false;
  await live(signal, () => read(`/api/v1/directives/${id}`, { signal }), (found) => {
    const { sequence, lines, entries, files } = found;
    const busy = found.state === "open" && /assigned|in_work/.test(found.mine ?? "");
    const manages = found.manages && found.state === "open";
    const sure = (/** @type {string} */ deed) => ask({ title: t("o_sure", { deed }), deed, leave: t("cancel"), danger: true });
    const said = (/** @type {string} */ kind, /** @type {string} */ text, /** @type {"in_work" | "completed"} */ state) => sender(kind, text, () => post(
      `/api/v1/directives/${id}/reports`, { sequence, state, word: word.value, ...(state === "in_work" && progress.value && { progress: +progress.value }) }, { tries: 3 },
    ), () => { word.value = ""; }, () => (state === "in_work" ? progress.reportValidity() : sure(text)));
    fill(
      head, h("section", { class: `card u${found.urgency}` }, h("span", { class: "meta" }, chip(found.urgency), outside(found.reference, "number")), outside(found.title, "subject")),
      h(
        "section", {}, h("h2", {}, t("o_text")),
        h("div", { class: "group lines" }, found.text.split("\n").map((/** @type {string} */ text) => h("p", {}, outside(text))), h("p", { class: "soft" }, outside([found.author, found.author_position, found.author_unit].filter(Boolean).join(" · "))),
          found.due_date && h("p", {}, t("docDue"), ": ", h("strong", {}, date(found.due_date)))),
      ),
    );
    fill(
      tree, h("section", {}, h("h2", {}, t("o_tree")), h("div", { class: "group lines" }, lines.map(branch))),
      entries.length > 0 && h("details", {}, h("summary", {}, t("o_course")), entries.map((/** @type {any} */ each) => h(
        "p", { class: "small" }, h("span", { class: "soft" }, dateTime(each.at), " · ", outside(each.author), each.progress !== null && ` · ${each.progress} %`), h("br"), outside(each.text),
      ))),
      files.map((/** @type {any} */ { position, name }) => h("button", { class: "line", onclick: () => sent(async () => download(await call("GET", `/api/v1/directives/${id}/files/${position}`), "", name)) }, icon("down"), outside(name))),
    );
    // What is being entered stays while the tree grows.
    report.hidden = !busy;
    const reason = /** @type {HTMLElement} */ (why.closest(".field") ?? field(t("mReason"), why));
    reason.hidden = !manages;
    if (!drawn) fill(main, head, tree, report, reason, pages);
    const shown = files.find((/** @type {any} */ { pdf }) => pdf);
    // What was recalled, or is no more this reader's, goes from the screen, too (EXC-5).
    if (!shown) fill(pages);
    else if (!drawn) draw(shown.position).catch((error) => fill(pages, words(error)));
    drawn = true;
    deeds(
      manages && [
        sender("plain", t("o_withdraw"), () => post(`/api/v1/directives/${id}/withdrawal`, { sequence, reason: why.value }, { tries: 3 }), undefined, () => why.reportValidity() && sure(t("o_withdraw"))),
        h("a", { class: "main", href: `#/o/${id}/change` }, t("m_change")),
      ],
      busy && [
        h("a", { class: "plain", href: `#/o/new/o/${id}` }, t("o_on")), said("plain", t("o_report"), "in_work"), said("main", t("o_done"), "completed"),
      ],
    );
  });

  /** @param {number} file */
  async function draw(file) {
    const { manifest } = await readManifest(await call("GET", `/api/v1/directives/${id}/files/${file}/manifest`, { signal }));
    const load = (/** @type {{page: number, width: number}} */ { page, width }, /** @type {AbortSignal} */ stop) => call("GET", `/api/v1/directives/${id}/files/${file}/pages/${page}?width=${width}`, { signal: stop });
    pages.append(pageList({ manifest, scroller: main, signal, load, turned() {}, failed: (error) => say(words(error)) }).element);
  }
}

/** A line of the tree, as deep as it hangs. @param {any} line */
function branch(line) {
  const body = [
    h("span", {}, outside(line.name, "who"), line.lead && h("strong", {}, ` · ${t("o_lead")}`)), facts(line), line.word && h("span", {}, "“", outside(line.word), "”"),
  ];
  let made = line.opens ? h("a", { class: "line", href: `#/o/${line.directive}` }, h("span", { class: "facts grow" }, body), icon("right")) : h("div", { class: "line" }, h("span", { class: "facts grow" }, body));
  for (let depth = 0; depth < line.depth; depth++) made = h("div", { class: "under" }, made);
  return made;
}

/** A new direction, one that is passed on, or the next revision of one. @param {Room} room */
async function order({ me, main, deeds, signal, go, id, what, subject }) {
  const changes = what === "change";
  const [people, units, old] = await Promise.all([
    every("/api/v1/people", signal), read("/api/v1/directives/units", { signal }), changes && read(`/api/v1/directives/${id}`, { signal }),
  ]);
  const on = old ? old.lines.filter(({ directive, kind, state }) => directive === id && kind !== "receiver" && state !== "released") : [];
  const named = (/** @type {string} */ value) => on.find(({ assignee }) => assignee === value);
  /** @type {[string, string][]} */
  const all = [
    ...people.filter((one) => one.id !== me.person.id && (one.state === "active" || named(one.id))).map((one) => /** @type {[string, string]} */ ([one.id, [one.name, one.position].filter(Boolean).join(" · ")])),
    ...units.map((one) => /** @type {[string, string]} */ ([one.id, one.name])),
  ];
  const form = h(
    "form", { class: "facts" }, field(t("o_text"), h("textarea", { name: "text", rows: "4", required: true }, old && old.text)),
    field(t("docDue"), h("input", { name: "due_date", type: "date", value: old && old.due_date })),
    field(t("o_lead"), h("select", { name: "lead", required: true }, !old && h("option", { value: "" }), all.map(([value, text]) => h("option", { value, selected: named(value)?.lead }, text)))),
    h("fieldset", {}, h("legend", {}, t("o_others")), all.map(([value, text]) =>
      h("label", { class: "tickline" }, h("input", { type: "checkbox", name: "coordinators", value, checked: named(value) && !named(value)?.lead }), outside(text)))),
  );
  const act = () => {
    const given = new FormData(form);
    const text = (/** @type {string} */ name) => String(given.get(name));
    const json = { text: text("text"), lead: text("lead"), coordinators: given.getAll("coordinators").map(String), due_date: text("due_date") || null };
    /** @type {Promise<any>} */
    const made = old ? post(`/api/v1/directives/${id}/changes`, { ...json, sequence: old.sequence }, { tries: 3 })
      : post("/api/v1/directives", { ...json, [what === "a" ? "arrival" : what === "d" ? "document" : "above"]: subject }, { tries: 3 });
    return made.then((found) => go(`#/o/${found.id}`));
  };
  fill(main, form);
  deeds(sender("main", t("o_give"), act, undefined, () => form.reportValidity()));
}
