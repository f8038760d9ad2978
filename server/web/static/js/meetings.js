/** Meetings: mine, one of them with its answer and papers, calling and changing one. Clocks stand as in Vietnam, wherever the device is. */
import { Problem, call, events, every, now, post, read } from "./api.js";
import { chip, frame, has, lull, nothing, waiting, words } from "./frame.js";
import { check, imageOf, read as readManifest } from "./manifest.js";
import { keep, kept, only, purge, room } from "./offline.js";
import { pageList } from "./pages.js";
import { language, t } from "./texts.js";
import { download, field, fill, h, icon, outside, say } from "./view.js";

const HOUR = 36e5;

/** @typedef {ReturnType<typeof frame> & import("./frame.js").Screen & {id: string, what: string, revision: string}} Room */

/** What stands behind `#/m`: nothing, `new`, or a meeting and what of it. @param {import("./frame.js").Screen} screen @param {string} [rest] */
export function meetings(screen, rest = "") {
  const [id, what, revision] = rest.split("/");
  const made = frame({
    title: t(revision ? "m_papers" : what || id === "new" ? `m_${what ?? id}` : "navMeetings"), back: id && (what ? `#/m/${id}` : "#/m"), kind: revision ? "reading" : "lone", me: screen.me,
    tab: id ? undefined : "meetings",
  });
  const act = !id ? list : revision ? paper : id === "new" || what === "change" ? plan : what ? reply : one;
  fill(made.main, waiting());
  return act({ ...screen, ...made, id, what, revision });
}

/** Ask again and again while somebody looks. @param {AbortSignal} signal @param {() => Promise<any>} ask @param {(found: any) => void} draw */
export async function live(signal, ask, draw) {
  let hear = () => {};
  /** @type {Promise<void>} */
  let next;
  for (const name of ["meetings", "notices"]) events.addEventListener(name, () => hear(), { signal });
  // What changes by the clock alone is seen within half a minute.
  for (let shown = ""; !signal.aborted; await Promise.race([next, lull(30_000, 300_000)])) {
    next = new Promise((resolve) => (hear = resolve));
    /** @type {any} */
    let found;
    try {
      found = await ask();
    } catch (error) {
      // A network that goes takes nothing from the screen that is being entered there.
      if (!shown || signal.aborted || (error instanceof Problem && [403, 404, 410].includes(error.status))) throw error;
      continue;
    }
    if (signal.aborted || JSON.stringify(found) === shown) continue;
    shown = JSON.stringify(found);
    draw(found);
  }
}

/** @param {Room} room */
function list({ me, signal, main, deeds }) {
  if (has(me, "clerk") || has(me, "staff")) deeds(h("a", { class: "main", href: "#/m/new" }, t("m_new")));
  return live(signal, () => read("/api/v1/meetings", { signal, kept: true }), ({ items }) =>
    fill(main, items.length ? items.map((/** @type {any} */ found) => h("a", { class: `card u${found.urgency}`, href: `#/m/${found.id}` }, head(found))) : nothing("people", t("mNone"))));
}

/** @param {any} found */
const head = (found) => [
  h(
    "span", { class: "meta" }, found.urgency > 0 && chip(found.urgency), h("strong", {}, found.time), found.silent > 0 && h("span", {}, t("mSilent", { n: found.silent })),
    found.state !== "planned" ? h("strong", { class: "late" }, t(`m_${found.state}`)) : found.attends && h("span", {}, t(`m_${found.answer}`)),
  ),
  outside(found.title, "subject"), outside(found.place),
  found.changes.map((/** @type {any} */ { name, name_en: english, before, after }) =>
    h("span", {}, h("strong", { class: "late" }, language() === "en" ? english : name, ": "), h("del", {}, outside(before)), " → ", outside(after))),
];

/** @param {Room} room */
const one = ({ signal, go, main, deeds, id }) => live(signal, () => read(`/api/v1/meetings/${id}`, { signal, kept: true }), (found) => {
  if (found.state === "withdrawn") {
    packs.clear();
    purge(id).catch(() => {});
  } else only(id, found.papers.map((/** @type {any} */ one) => one.revision)).catch(() => {});
  const link = (/** @type {string} */ what) => h("a", { class: "plain grow", href: `#/m/${id}/${what}` }, t(`m_${what}`));
  const attend = () => sent(() => post(`/api/v1/meetings/${id}/answer`, { sequence: found.sequence, answer: "attend" }, { tries: 3 }), () => go(`#/m/${id}`));
  const line = (/** @type {any} */ { person, name, position, organisation, answer, reason, came_at: came }) => {
    const tick = h("input", { type: "checkbox", checked: came, onchange: () => sent(() => post(`/api/v1/meetings/${id}/attendance`, { people: [person], came: tick.checked })) });
    return h(
      "div", { class: "line wrap" },
      h("div", { class: "grow" }, outside(name, "who"), h("div", { class: "soft" }, outside(position), organisation && [" · ", outside(organisation)], answer !== null && [" · ", t(`m_${answer}`)], reason && [": ", outside(reason)])),
      found.managed && Date.parse(found.starts_at) - 2 * HOUR < now() && h("label", { class: "tickline" }, tick, t("mCame")),
    );
  };
  const part = (/** @type {string} */ name, /** @type {any[]} */ ...inside) => h("section", {}, h("h2", {}, t(name)), h("div", { class: "group lines" }, inside));
  fill(
    main, h("section", { class: "group lines" }, head(found), outside(found.note)),
    // Beside the answers they would leave no room on a small screen.
    found.open && found.managed && h("nav", { class: "choices" }, link("change"), link("cancel")),
    ["agenda", "asked"].map((name) => found[name] && part(`m_${name}`, found[name].split("\n").map((/** @type {string} */ text) => h("p", {}, outside(text))))),
    (found.managed || found.papers.length > 0) && part("m_papers", papers(found)),
    part(
      "m_attendees", found.conflicts.map((/** @type {any} */ { name, time }) => h("p", { class: "late" }, t("mConflict"), outside(`${name} · ${time}`))),
      found.attendees.toSorted((/** @type {any} */ a, /** @type {any} */ b) => +!!a.answer - +!!b.answer).map(line),
      found.managed && h("button", { class: "line", onclick: () => sent(async () => download(await call("GET", `/api/v1/meetings/${id}/report`), "text/csv", "attendance.csv")) }, icon("down"), t("mReport")),
    ),
  );
  deeds(
    found.open && found.attends && [link("decline"), !found.mine.substitute_for && link("substitute"), h("button", { class: "main", onclick: attend }, t("m_attend"))],
  );
});

/** @param {() => Promise<any>} act @param {() => void} [done] */
export async function sent(act, done) {
  try {
    say(t((await act())?.short_notice ? "mShort" : "mSent"));
    done?.();
  } catch (error) {
    say(words(error));
  }
}

/**
 * A button that sends; a second tap before the answer would send again. @param {string} kind @param {string} text @param {() => Promise<any>} act
 * @param {() => void} [done] @param {() => any} [ready] Whether there is something to send.
 */
export function sender(kind, text, act, done, ready = () => true) {
  const button = h("button", {
    class: kind, onclick: async () => {
      if (button.disabled || !(await ready())) return;
      button.disabled = true;
      await sent(act, done);
      button.disabled = false;
      if (document.activeElement === document.body) button.focus();
    },
  }, text);
  return button;
}

/** The buttons that keep papers, with how far they are: the screen drawn anew shows the same one. @type {Map<string, HTMLElement>} */
const packs = new Map();

/** @param {any} found */
function papers({ id, papers: all, managed, open }) {
  const count = all.reduce((/** @type {number} */ sum, /** @type {any} */ one) => sum + one.page_count, 0);
  const taken = async (/** @type {string} */ path) => {
    const body = (await kept(path))?.body ?? (await call("GET", path));
    await keep(path, body, true);
    return body;
  };
  // It goes on while its papers are read: no signal ends it.
  const pack = async () => {
    let [done, text] = [0, "mKeep"];
    try {
      // Without a word of the server nothing is kept for a week more.
      const meeting = `/api/v1/meetings/${id}`;
      await keep(meeting, await call("GET", meeting));
      for (const { id: which, revision } of all) {
        const { manifest } = await readManifest(await taken(manifestAt(id, which, revision)));
        for (let page = 1; page <= manifest.page_count; page++) {
          fill(button, `${done++}/${count}`);
          const image = imageOf(manifest, page, 720);
          await check(await taken(pageAt(id, which, revision, image)), image);
        }
      }
      text = "awaySaved";
    } finally {
      fill(button, t(text));
    }
  };
  const named = language() + id + all.map((/** @type {any} */ one) => one.revision);
  const button = packs.get(named) ?? sender("plain", t("mKeep"), pack, undefined, async () => (await room(id, count)) || say(t("mBig")));
  packs.set(named, button);
  /** @param {string} kind @param {any} text @param {{id?: string, name?: string}} [old] The paper whose place it takes. */
  const upload = (kind, text, old = {}) => {
    const add = () => {
      const form = new FormData();
      const file = /** @type {File} */ (input.files?.[0]);
      form.set("file", file);
      form.set("name", old.name ?? file.name);
      form.set("replaces", old.id ?? "");
      say(t("loading"));
      sent(() => call("POST", `/api/v1/meetings/${id}/papers`, { form }));
    };
    const input = h("input", { class: "unseen", type: "file", accept: ".pdf", onchange: add });
    return managed && open && h("label", { class: kind }, text, input);
  };
  return [
    all.map((/** @type {any} */ one) => h(
      "div", { class: "line wrap" },
      h("a", { class: "line grow", href: `#/m/${id}/${one.id}/${one.revision}` }, h("span", {}, outside(one.name), one.version > 1 && h("strong", { class: "late" }, t("mVersion", { n: one.version }))), icon("right")),
      upload("plain slim", t("mReplace"), one),
    )),
    all.length > 0 && button, upload("plain", [icon("plus"), t("m_papers")]),
  ];
}

/** @param {string} id @param {string} which @param {string} revision */
const manifestAt = (id, which, revision) => `/api/v1/meetings/${id}/papers/${which}/revisions/${revision}/manifest`;
/** @param {string} id @param {string} which @param {string} revision @param {{page: number, width: number}} image */
const pageAt = (id, which, revision, { page, width }) => `/api/v1/meetings/${id}/papers/${which}/revisions/${revision}/pages/${page}?width=${width}`;

/** @param {Room} room */
async function paper({ signal, main, deeds, id, what, revision }) {
  const load = (/** @type {string} */ path, stop = signal) => call("GET", path, { signal: stop, kept: true });
  const { manifest } = await readManifest(await load(manifestAt(id, what, revision)));
  const given = {
    manifest, scroller: main, signal, load: (/** @type {{page: number, width: number}} */ image, /** @type {AbortSignal} */ stop) => load(pageAt(id, what, revision, image), stop),
    turned: () => {}, failed: (/** @type {any} */ error) => say(words(error)),
  };
  fill(main, h("div", { class: "reader" }, pageList(given).element));
  const save = async () => {
    const { papers: all } = await read(`/api/v1/meetings/${id}`, { signal, kept: true });
    const file = await call("GET", `/api/v1/meetings/${id}/papers/${what}/revisions/${revision}/file`, { signal });
    download(file, "application/pdf", all.find((one) => one.id === what)?.name ?? "");
  };
  deeds(h("button", { class: "plain", onclick: () => sent(save) }, icon("down"), t("fileOriginal")));
}

/** Decline, send somebody, cancel. @param {Room} room */
async function reply({ me, signal, go, main, deeds, id, what }) {
  const { sequence } = await read(`/api/v1/meetings/${id}`, { signal });
  const substitute = what === "substitute";
  const said = substitute ? chooser((await every("/api/v1/people", signal)).filter(({ id: one, state }) => state === "active" && one !== me.person.id)) : h("textarea", { rows: "4" });
  const act = () => what === "cancel"
    ? post(`/api/v1/meetings/${id}/cancellation`, { sequence, reason: said.value }, { tries: 3 })
    : post(`/api/v1/meetings/${id}/answer`, { sequence, answer: /** @type {any} */ (what), [substitute ? what : "reason"]: said.value }, { tries: 3 });
  fill(main, field(t(substitute ? "m_attendees" : "mReason"), said));
  deeds(sender("main", t(`m_${what}`), act, () => go(`#/m/${id}`), () => said.reportValidity()));
}

/** Nobody is chosen because he stands first. @param {any[]} people @param {string} [chosen] */
const chooser = (people, chosen) =>
  h("select", { name: "chair", required: true }, !chosen && h("option", { value: "" }), people.map(({ id, name, position }) => h("option", { value: id, selected: id === chosen }, `${name} · ${position}`)));

/** A new meeting, or the next revision of one. @param {Room} room */
async function plan({ signal, go, main, deeds, id, what }) {
  const everybody = await every("/api/v1/people", signal);
  /** @type {any} */
  const old = what ? await read(`/api/v1/meetings/${id}`, { signal }) : { attendees: [] };
  const invited = old.attendees.filter((/** @type {any} */ one) => !one.substitute_for);
  const named = invited.map((/** @type {any} */ { person }) => person);
  const people = everybody.filter((one) => one.state === "active" || named.includes(one.id) || one.id === old.chair);
  people.push(...invited.filter((/** @type {any} */ one) => one.organisation).map((/** @type {any} */ { person, ...rest }) => ({ ...rest, id: person })));
  const tick = (/** @type {any} */ { id: value, name, position, organisation }, on = named.includes(value)) =>
    h("label", { class: "tickline" }, h("input", { type: "checkbox", name: "attendees", value, checked: on }), outside([name, position, organisation].filter(Boolean).join(" · ")));
  const list = h("fieldset", {}, h("legend", {}, t("m_attendees")), people.map((one) => tick(one)));
  const found = h("div", { class: "lines", role: "status" });
  // Once each: of two ticks for one guest the other would keep him on the list.
  const add = (/** @type {any} */ one) => {
    const box = /** @type {HTMLInputElement | null} */ (list.querySelector(`[value="${one.id}"]`));
    if (box) box.checked = true;
    else list.append(tick(one, true));
  };
  let asked = "";
  // A guest is found by name, position or agency; a tap puts him on the list.
  const search = h("input", { type: "search", maxlength: 100, oninput: async () => {
    asked = search.value.trim();
    const query = asked;
    /** @type {any} */
    const all = query.length < 2 ? [] : await read(`/api/v1/meetings/guests?query=${encodeURIComponent(query)}`, { signal }).catch((error) => signal.aborted || say(words(error)));
    const listed = new FormData(form).getAll("attendees");
    const guests = Array.isArray(all) ? all.filter((one) => !listed.includes(one.id)) : [];
    if (query === asked) fill(found, guests.map((/** @type {any} */ one) => h("button", { class: "line", type: "button", onclick: (/** @type {any} */ { currentTarget }) => { add(one); currentTarget.remove(); search.focus(); } }, icon("plus"), outside(`${one.name} · ${one.position} · ${one.organisation}`))));
  } });
  const control = (/** @type {string} */ name) =>
    name === "chair" ? chooser(people.filter((one) => !one.organisation), old.chair)
    : name === "urgency" ? h("select", { name }, [0, 1, 2, 3, 4].map((value) => h("option", { value, selected: value === old.urgency }, t(`u${value}`))))
    : name.endsWith("_at") ? h("input", { name, type: "datetime-local", required: true, value: what && new Date(Date.parse(old[name]) + 7 * HOUR).toISOString().slice(0, 16) })
    : h("textarea", { name, rows: "1", required: /title|place/.test(name) }, old[name]);
  const form = h(
    "form", { class: "facts" }, ["title", "place", "starts_at", "ends_at", "chair", "agenda", "asked", "urgency"].map((name) => field(t(`m_${name}`), control(name))),
    list, field(t("mGuests"), search), found,
  );
  const act = async () => {
    const given = new FormData(form);
    /** @type {any} */
    const json = { ...Object.fromEntries(given), attendees: given.getAll("attendees"), urgency: Number(given.get("urgency")), starts_at: `${given.get("starts_at")}:00+07:00`, ends_at: `${given.get("ends_at")}:00+07:00` };
    const made = what ? await post(`/api/v1/meetings/${id}/changes`, { ...json, sequence: old.sequence }, { tries: 3 }) : await post("/api/v1/meetings", json, { tries: 3 });
    go(`#/m/${made.id}`);
    return made;
  };
  fill(main, form);
  deeds(sender("main", t("mSend"), act, undefined, () => form.reportValidity()));
}
