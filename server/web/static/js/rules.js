/** An organisation's rules of telling people; what stands still or is late; the address of one's own calendar. */
import { call, every, post, read } from "./api.js";
import { chip, frame, nothing, waiting, words } from "./frame.js";
import { dateTime, t } from "./texts.js";
import { ask, field, fill, h, icon, outside, say } from "./view.js";

/** @typedef {() => any} Given A control's value. */

const TARGETS = ["person", "deputy", "duty_officer", "sender"];

/** @param {number} minutes */
const clock = (minutes) => new Date(minutes * 60_000).toISOString().slice(11, 16);
/** @param {string} text */
const minutes = (text) => Number(text.slice(0, 2)) * 60 + Number(text.slice(3));
/** Days as people write them; what is none stays as it is, for the server to refuse. @param {string} text @returns {string[]} */
export const dates = (text) => (text.match(/[^\s,;]+/g) ?? []).map((one) => one.replace(/^(\d+)[/.-](\d+)[/.-](\d{4})$/, (_, day, month, year) => `${year}-${month.padStart(2, "0")}-${day.padStart(2, "0")}`));
/** @param {Record<string, Given>} all */
const said = (all) => Object.fromEntries(Object.entries(all).map(([name, of]) => [name, of()]));
/** A part with its name. @param {string} name @param {...import("./view.js").Child} inside */
const part = (name, ...inside) => h("section", { class: "group" }, h("h2", {}, t(name)), inside);

/** @param {import("./frame.js").Screen} screen */
export async function rulesScreen({ signal, go }) {
  const { main, deeds } = frame({ title: t("rules"), back: "#/me", kind: "lone" });
  fill(main, waiting());
  /** @type {[any, any[]]} */
  const [rules, all] = await Promise.all([read("/api/v1/notice-rules", { signal }), every("/api/v1/people", signal)]);
  const people = all.filter((/** @type {any} */ one) => one.state === "active");

  /** @type {Record<string, Given>} */
  const given = {};
  const tick = (/** @type {string} */ name, /** @type {boolean} */ on, into = given) => {
    const box = h("input", { type: "checkbox", checked: on });
    into[name] = () => box.checked;
    return h("label", { class: "tickline" }, box, t(`r_${name}`));
  };
  const number = (/** @type {string} */ label, /** @type {number} */ value, /** @type {(read: Given) => void} */ keep, least = 1, required = false) => {
    const box = h("input", { type: "number", min: least, max: 1e4, required, value, inputmode: "numeric" });
    keep(() => Number(box.value));
    return field(label, box);
  };
  const time = (/** @type {string} */ label, /** @type {number | undefined} */ value) => {
    const box = h("input", { type: "time", value: value !== undefined && clock(value) });
    return { box: field(t(label), box), at: () => (box.value ? minutes(box.value) : null) };
  };
  const span = (/** @type {string} */ name) => {
    const [start, end] = [time("awayFrom", rules[name]?.start), time("awayTo", rules[name]?.end)];
    given[name] = () => (start.at() === null || end.at() === null ? null : { start: start.at(), end: end.at() });
    return [start.box, end.box];
  };
  const chosen = (/** @type {string} */ name, /** @type {string[]} */ now, /** @type {any[]} */ some, into = given) => {
    const boxes = some.map(({ id, name: called, position }) => ({ id, called, position, box: h("input", { type: "checkbox", checked: now.includes(id), onchange: () => show() }) }));
    const names = h("bdi", {});
    const show = () => fill(names, boxes.filter(({ box }) => box.checked).map(({ called }) => called).join(", ") || t(`r_${name}None`));
    show();
    into[name] = () => boxes.filter(({ box }) => box.checked).map(({ id }) => id);
    return h(
      "details", {}, h("summary", {}, h("span", {}, `${t(`r_${name}`)}: `, names)),
      boxes.map(({ called, position, box }) => h("label", { class: "tickline" }, box, outside([called, position].filter(Boolean).join(" · ")))),
    );
  };
  // A calendar's own days: those without work, and those that are worked instead.
  const days = [false, true].map((works) => {
    const text = Object.keys(rules.days).filter((day) => rules.days[day] === works).sort().map((day) => day.split("-").reverse().join("/")).join(", ");
    const box = h("input", { value: text, placeholder: "31/12/2026", inputmode: "text" });
    return { box: field(t(works ? "r_worked" : "r_off"), box), read: () => dates(box.value).map((day) => [day, works]) };
  });
  given.days = () => Object.fromEntries(days.flatMap(({ read: of }) => of()));
  const digest = time("r_digest", rules.digest ?? undefined);
  given.digest = digest.at;
  /** @type {Record<string, Given>} */
  const idle = {};
  const hours = ["handler_hours", "head_hours"].map((name) => number(t(`r_${name}`), rules.idle?.[name], (of) => { idle[name] = of; }));
  given.idle = () => (idle.handler_hours() ? { handler_hours: idle.handler_hours(), head_hours: idle.head_hours() } : null);

  /** @type {Record<string, Given>} */
  const meetings = {};
  const mail = h("select", {}, ["off", "times", "full"].map((value) => h("option", { value, selected: value === rules.meetings.mail }, t(`r_mail_${value}`))));
  meetings.mail = () => mail.value;
  given.meetings = () => said(meetings);

  /** @type {Record<string, Given>} */
  const caps = {};
  given.caps = () => said(caps);

  /** @type {{box: HTMLElement, read: Given}[]} */
  let chains = [];
  const place = h("div", { class: "field" });
  const draw = () => fill(place, chains.map(({ box }) => box));
  const add = (/** @type {any} */ policy) => {
    const one = chain(policy, (gone) => { chains = chains.filter((each) => each !== gone); draw(); });
    chains.push(one);
    draw();
  };
  /** Who is told when nobody acknowledges. @param {any} policy @param {(gone: any) => void} drop */
  function chain(policy, drop) {
    /** @type {Record<string, Given>} */
    const said = {};
    const grade = h("select", {}, [0, 1, 2, 3, 4].map((urgency) => h("option", { value: urgency, selected: urgency === policy.urgency }, t(`u${urgency}`))));
    /** @type {HTMLElement[]} */
    const rows = [];
    const list = h("div", { class: "lines" });
    const show = () => fill(list, rows);
    const step = (/** @type {any} */ { after_s: after, target, channel }) => {
      const name = `${t("r_step")} ${rows.length + 1}: `;
      const pick = (/** @type {string[]} */ values, /** @type {string} */ now, /** @type {string} */ prefix, /** @type {string} */ label) =>
        h("select", { "aria-label": name + t(label) }, values.map((value) => h("option", { value, selected: value === now }, t(prefix + value))));
      const row = h(
        "div", { class: "line step" }, h("input", { type: "number", min: .5, step: "any", value: after / 60, "aria-label": name + t("r_after") }), t("r_after"),
        pick(TARGETS, target, "target_", "r_target"), pick(["push", "second", "all"], channel, "r_", "r_channel"),
        h("button", { class: "plain slim", type: "button", "aria-label": name + t("r_drop"), onclick: () => { rows.splice(rows.indexOf(row), 1); show(); } }, icon("cross")),
      );
      rows.push(row);
    };
    policy.steps.forEach(step);
    show();
    const box = h(
      "section", { class: "group" }, field(t("r_grade"), grade), list,
      h("button", { class: "plain", type: "button", onclick: () => { step({ after_s: 300, target: "duty_officer", channel: "all" }); show(); } }, icon("plus"), t("r_step")),
      tick("working_time", policy.working_time, said), chosen("duty", policy.duty, people, said),
      h("button", { class: "plain danger", type: "button", onclick: () => drop(one) }, t("r_drop")),
    );
    const one = {
      box,
      read: () => ({
        urgency: Number(grade.value), duty: said.duty(), working_time: said.working_time(),
        steps: rows.map((row) => {
          const [after, target, channel] = /** @type {NodeListOf<HTMLInputElement>} */ (row.querySelectorAll("input, select"));
          return { after_s: Math.round(Number(after.value) * 60), target: target.value, channel: channel.value };
        }),
      }),
    };
    return one;
  }
  rules.policies.forEach(add);

  fill(
    main,
    part("r_work", span("work"), days.map(({ box }) => box)),
    part("quiet", span("quiet"), tick("quiet_off_days", rules.quiet_off_days), h("p", { class: "soft small" }, t("quietHelp"))),
    part("r_idle", hours, h("p", { class: "soft small" }, t("r_idleHelp")), digest.box, chosen("heads", rules.heads, people)),
    part("r_meetings", ["notice_days", "remind_hours"].map((name) => number(t(`r_${name}`), rules.meetings[name], (of) => { meetings[name] = of; }, 0)), field(t("r_mail"), mail)),
    part(
      "r_caps", Object.entries({ express: t("u3"), urgent: `${t("u1")}, ${t("u2")}`, normal: t("u0"), second: t("r_second") }).map(([name, label]) => number(label, rules.caps[name], (of) => { caps[name] = of; }, 1, true)),
      h("p", { class: "soft small" }, t("r_capsHelp")),
    ),
    part("r_more", tick("open_every_page", rules.open_every_page), number(t("r_unhandled_days"), rules.unhandled_days, (of) => { given.unhandled_days = of; })),
    h("h2", {}, t("r_chains")), h("p", { class: "soft small" }, t("r_chainsHelp")), place,
    h("button", { class: "plain", onclick: () => add({ urgency: 1, steps: [], duty: [], working_time: false }) }, icon("plus"), t("r_chain")),
  );
  const save = async () => {
    /** @type {HTMLInputElement | null} */
    const wrong = main.querySelector("input:invalid");
    if (wrong) return wrong.reportValidity();
    try {
      await call("PUT", "/api/v1/notice-rules", { json: { ...rules, ...said(given), policies: chains.map((one) => one.read()) } });
      say(t("awaySaved"));
      go("#/me");
    } catch (error) {
      say(words(error));
    }
  };
  deeds(h("button", { class: "main", onclick: save }, t("awaySave")));
}

/** What the morning's notice counts. @param {import("./frame.js").Screen} screen */
export async function heldScreen({ signal }) {
  const { main } = frame({ title: t("held"), back: "#/me", kind: "lone" });
  fill(main, waiting());
  /** @type {any} */
  const found = await read("/api/v1/overview", { signal });
  fill(
    main,
    h("section", { class: "group lines" }, ["held", "idle", "overdue", "unanswered"].map((name) => h("p", { class: "meta" }, h("span", {}, t(`held_${name}`)), h("strong", {}, found[name])))),
    found.items.length
      ? found.items.map((/** @type {any} */ one) =>
          h(
            one.subject ? "a" : "article", { class: `card u${one.urgency}`, href: one.subject && `#/${one.what[0]}/${one.id}` },
            h("span", { class: "meta" }, chip(one.urgency), outside(one.number, "number"), one.overdue && h("strong", { class: "late" }, t("due", { date: one.due_date.split("-").reverse().join("/") }))),
            one.subject && outside(one.subject, "subject"),
            h("span", { class: "meta" }, outside(one.name ? [one.name, one.position].filter(Boolean).join(" · ") : t(`held_${one.handler}`)), h("span", {}, t("heldSince", { time: dateTime(one.since) }))),
          ))
      : nothing("check", t("heldNone")),
  );
}

/** The address that one's own calendar application reads. @param {import("./frame.js").Screen} screen */
export async function feedScreen({ signal }) {
  const { main, deeds } = frame({ title: t("feed"), back: "#/me", kind: "lone" });
  fill(main, waiting());
  const end = () => sent(async () => {
    await call("DELETE", "/api/v1/me/calendar");
    await draw();
  });
  const draw = async (/** @type {string} */ url = "") => {
    const found = await read("/api/v1/me/calendar", { signal });
    fill(
      main,
      h(
        "section", { class: "group" }, h("p", {}, t("feedHelp")),
        found && h("p", { class: "soft" }, t("feedSince", { time: dateTime(found.created_at) }), found.fetched_at && [" · ", t("feedRead", { time: dateTime(found.fetched_at) })]),
        url && [field(t("feedAddress"), h("textarea", { readonly: true }, url), t("feedOnce")), h("button", { class: "plain", onclick: copy }, t("feedCopy"))],
        found && h("button", { class: "plain danger", onclick: end }, t("feedEnd")),
      ),
    );
    deeds(h("button", { class: "main", onclick: make }, t(found ? "feedAnew" : "feedMake")));

    async function copy() {
      await sent(() => navigator.clipboard.writeText(url).then(() => say(t("feedCopied"))));
    }
    async function make() {
      if (found && !(await ask({ title: t("feedAnewAsk"), deed: t("feedAnew"), leave: t("cancel") }))) return;
      await sent(async () => draw((await post("/api/v1/me/calendar", undefined, { tries: 3 })).url));
    }
  };
  await draw();
}

/** @param {() => Promise<void>} act */
const sent = (act) => act().catch((error) => say(words(error)));
