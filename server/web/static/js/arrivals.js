/** What came over the exchange, for the clerk: what waits, one with its verdict and pages, its number or its way back; and receivers of a document of ours. */
import { call, pause, post, read } from "./api.js";
import { chip, frame, has, nothing, trouble, waiting, words } from "./frame.js";
import { read as readManifest } from "./manifest.js";
import { pageList } from "./pages.js";
import { ago, dateTime, language, t } from "./texts.js";
import { ask, download, field, fill, h, icon, outside, say } from "./view.js";

/** What the server calls it. @param {any} found */
const said = (found) => found.words[language()];

/** What stands behind `#/a`: the list, an arrival, or `sent/` and a document of ours. @param {import("./frame.js").Screen} screen @param {string} [rest] */
export async function arrivals({ me, signal, changed }, rest = "") {
  const [id, ours] = rest.split("/");
  const { main, deeds } = frame({ title: t(ours ? "receivers" : "arrivals"), back: ours ? `#/d/${ours}` : id ? "#/a" : "#/", kind: "lone" });
  fill(main, waiting());
  const why = h("textarea", { rows: "3" });
  const hits = h("div", { role: "status" });
  /** @param {Promise<any>} deed */
  const told = (deed) => deed.catch((error) => signal.aborted || say(words(error)));
  const search = h("input", { type: "search", maxlength: 100, placeholder: t("a_who"), oninput: () => told(seek()) });
  const load = () => (ours ? sent() : id ? one() : list()).then((found) => signal.aborted || fill(main, found), (error) => signal.aborted || fill(main, trouble(error, load)));
  changed((documents) => (!id || documents.has(ours ?? id)) && load());
  await load();

  async function list() {
    const { items } = await read("/api/v1/arrivals?waiting=true", { signal });
    return items.length ? items.map((found) => h("a", { class: `card u${found.urgency}`, href: `#/a/${found.id}` }, head(found))) : nothing("check", t("inboxEmpty"));
  }

  async function one() {
    const { arrival, asked, judgement, judged, files, related, directed, remark } = await read(`/api/v1/arrivals/${id}`, { signal });
    const deed = (/** @type {string} */ name, /** @type {(reason: string) => Promise<any>} */ act, kind = "plain") =>
      h("button", { class: kind, onclick: () => act(why.value.trim()).then(load, (error) => say(words(error))) }, t(name));
    const answer = (/** @type {boolean} */ agree) => (/** @type {string} */ reason) => post(`/api/v1/arrivals/${id}/answer`, { agree, reason }, { tries: 3 });
    const open = arrival.state === "waiting";
    deeds(...(!open ? [] : /revoke|update|back/.test(arrival.kind) ? [deed("a_refuse", answer(false)), deed("a_agree", answer(true), "main")] : [
      deed("docReturn", (reason) => post(`/api/v1/arrivals/${id}/return`, { reason }, { tries: 3 })),
      deed("a_register", (despite) => post(`/api/v1/arrivals/${id}/register`, { despite }, { tries: 3 }), "main"),
    ]));
    if (arrival.state === "registered" && has(me, "leader")) deeds(h("a", { class: "main", href: `#/o/new/a/${id}` }, icon("pen"), t("o_new")));
    if (judgement === "pending") pause(2000).then(() => signal.aborted || load());
    const pages = h("div");
    const shown = files.find(({ pdf }) => pdf);
    // What came about a recalled document may bring its text along.
    const recalled = [arrival, ...related.filter((other) => other.id === arrival.about)].some(({ state }) => state === "recalled");
    if (shown && !recalled) draw(shown.position, pages).catch((error) => fill(pages, words(error)));
    return [
      h("section", { class: `card u${arrival.urgency}` }, head(arrival), h("p", { class: judgement === "valid" ? "verdict good" : "verdict late" }, said(judged)), outside(asked), outside(remark)),
      files.map(({ position, name, pdf, reasons }) => [
        saved(`/api/v1/arrivals/${id}/files/${position}`, "", name, outside(name)),
        pdf && judgement !== "pending" && saved(`/api/v1/arrivals/${id}/files/${position}/validation`, "application/json", "validation.json", t("a_judged")),
        reasons.map((one) => h("p", { class: "late" }, one[language()])),
      ]),
      directed.map((one) => h(one.opens ? "a" : "div", { class: "line", href: one.opens && `#/o/${one.id}` }, icon("pen"), h("span", {}, t("o_text"), ": ", outside(one.author), " · ", dateTime(one.at)))),
      related.map((other) => h("a", { class: "line", href: `#/a/${other.id}` }, said(other))),
      record(`/api/v1/arrivals/${id}/record`), open && field(t("mReason"), why), pages,
    ];
  }

  /** Everything that proves it, as one file. @param {string} path */
  function record(path) {
    return has(me, "clerk") && saved(path, "application/zip", "record.zip", t("a_record"));
  }

  /** @param {string} path @param {string} type @param {string} name @param {import("./view.js").Child} text */
  function saved(path, type, name, text) {
    return h("button", { class: "line", onclick: () => call("GET", path).then((bytes) => download(bytes, type, name), (error) => say(words(error))) }, icon("down"), text);
  }

  /** @param {number} file @param {HTMLElement} place */
  async function draw(file, place) {
    const { manifest } = await readManifest(await call("GET", `/api/v1/arrivals/${id}/files/${file}/manifest`, { signal }));
    const load = (/** @type {{page: number, width: number}} */ { page, width }, /** @type {AbortSignal} */ stop) => call("GET", `/api/v1/arrivals/${id}/files/${file}/pages/${page}?width=${width}`, { signal: stop });
    place.append(pageList({ manifest, scroller: main, signal, load, turned() {}, failed: (error) => say(words(error)) }).element);
  }

  /** Who else should have it, found while the name or code is typed. */
  async function seek() {
    const query = search.value.trim();
    await pause(200);
    if (query !== search.value.trim()) return;
    const { items } = query ? await read(`/api/v1/agencies?limit=6&query=${encodeURIComponent(query)}`, { signal }) : { items: [] };
    if (query === search.value.trim()) fill(hits, items.map((one) => !one.closed && h("button", { class: "line", onclick: () => told(add(one)) }, icon("plus"), h("div", {}, outside(one.name, "who"), h("div", { class: "soft" }, outside([one.code, one.parent?.name].filter(Boolean).join(" · ")))))));
  }

  /** @param {any} one */
  async function add({ code, name }) {
    if (!await ask({ title: `${t("a_add")}: ${name} (${code})?`, deed: t("a_add"), leave: t("cancel") })) return;
    await post(`/api/v1/documents/${ours}/receivers`, { add: [{ organ_id: code, name }] }, { tries: 3 });
    search.value = "";
    fill(hits);
    await load();
  }

  /** What became of a document of ours, and what its recall did. */
  async function sent() {
    const { failure, packet, receivers, messages, purged, unpurged } = await read(`/api/v1/documents/${ours}/deliveries`, { signal });
    const line = (/** @type {string} */ name, /** @type {import("./view.js").Child[]} */ rows) => h("div", { class: "line" }, h("div", {}, outside(name, "who"), rows.map((row) => h("div", { class: "soft" }, row))));
    /** As the axis said it, beside our words. */
    const failed = (/** @type {any} */ why) => why && h("p", { class: "late" }, said(why), " · ", outside(`${why.code} ${why.description}`));
    return [
      failed(failure), has(me, "clerk") && receivers[0] && !/sending|unknown/.test(packet?.stage ?? "") && !messages.some(({ what }) => /rev|13/.test(what)) && [field(t("a_add"), search), hits],
      receivers.map((one) => line(one.name, [said(one), ...one.statuses.map((row) => [dateTime(row.received_at), " · ", said(row), " ", outside(row.description)])])),
      messages.map((one) => line(said(one), [one.receivers.join(", "), dateTime(one.created_at), failed(one.failure)])),
      purged.map((one) => line(one.person, [outside(one.label), t("a_purged"), dateTime(one.at)])),
      unpurged.map((one) => line(one.person, [outside(one.label), h("p", { class: "late" }, t("a_unpurged"))])),
      record(`/api/v1/documents/${ours}/record`),
    ];
  }
}

/** @param {any} found */
const head = (found) => [
  h("span", { class: "meta" }, found.urgency === null ? h("span", { class: "chip" }, t("a_grade")) : chip(found.urgency), h("strong", {}, said(found)), outside(found.reference, "number")),
  outside(found.subject, "subject"),
  h("span", { class: "meta" }, outside(found.sender_name), h("time", {}, ago(found.received_at))),
];
