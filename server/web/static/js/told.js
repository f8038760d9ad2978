/** Who stands in and when not to disturb; who was told of a notice, when, by which channel. */
import { call, every, read, tell } from "./api.js";
import { chip, frame, nothing, waiting, words } from "./frame.js";
import { live } from "./meetings.js";
import { dateTime, t } from "./texts.js";
import { choice, field, fill, h, icon, outside, say } from "./view.js";

/** Times are the office's, wherever the phone is. */
const ZONE = "+07:00";
/** @param {string} at */
const day = (at) => new Date(Date.parse(at) + 7 * 3_600_000).toISOString().slice(0, 10);
/** @param {number} minutes */
const clock = (minutes) => new Date(minutes * 60_000).toISOString().slice(11, 16);
/** @param {string} text */
const minutes = (text) => Number(text.slice(0, 2)) * 60 + Number(text.slice(3));

/** @param {import("./frame.js").Screen} screen */
export async function awayScreen({ me, signal, go }) {
  const { main, deeds } = frame({ title: t("awayTitle"), back: "#/me", kind: "lone" });
  fill(main, waiting());
  const [own, items] = await Promise.all([read("/api/v1/me/notice-settings", { signal }), every("/api/v1/people", signal)]);
  const { quiet, absence } = own;
  let kind = absence?.kind ?? "";
  const people = items.filter((/** @type {any} */ one) => one.id !== me.person.id && one.state === "active");
  const deputy = h(
    "select", {}, h("option", { value: "" }, "–"),
    people.map((/** @type {any} */ one) => h("option", { value: one.id, selected: one.id === (absence?.deputy ?? own.deputy) }, [one.name, one.position].filter(Boolean).join(" · "))),
  );
  const [from, to] = [absence?.from, absence?.to].map((at) => h("input", { type: "date", value: day(at ?? new Date().toISOString()) }));
  const [start, end] = [quiet?.start, quiet?.end].map((at) => h("input", { type: "time", value: at !== undefined && clock(at) }));
  const phone = h("input", { type: "tel", value: own.phone, placeholder: "+84", autocomplete: "tel" });
  const email = h("input", { type: "email", value: own.email, autocomplete: "email" });
  const mails = h("input", { type: "checkbox", checked: own.meetings_by_mail });
  const days = [field(t("awayFrom"), from), field(t("awayTo"), to)];
  const show = () => days.forEach((one) => { one.hidden = !kind; });
  show();
  fill(
    main,
    h(
      "section", { class: "group" },
      choice(t("awayNow"), [["", t("away_")], ["leave", t("away_leave")], ["travel", t("away_travel")]], kind, (now) => { kind = now; show(); }),
      days, field(t("awayDeputy"), deputy, t("awayDeputyHelp")),
    ),
    h(
      "section", { class: "group" }, h("h2", {}, t("quiet")),
      field(t("awayFrom"), start), field(t("awayTo"), end), h("p", { class: "soft small" }, t("quietHelp")),
    ),
    h("section", { class: "group" }, h("h2", {}, t("second")), field(t("secondPhone"), phone), field(t("secondMail"), email), h("label", { class: "tickline" }, mails, t("meetingMail"))),
  );
  const save = async () => {
    if (kind && !deputy.value) return say(t("awayDeputyHelp"));
    try {
      const hours = start.value && end.value ? { start: minutes(start.value), end: minutes(end.value) } : null;
      // A standing deputy is whoever was chosen outside an absence; one who has left is none any more.
      const kept = people.some((/** @type {any} */ one) => one.id === own.deputy) ? own.deputy : null;
      const body = { quiet: hours, deputy: kind ? kept : deputy.value || null, phone: phone.value.replace(/[ .]/g, "").replace(/^0/, "+84"), email: email.value.trim(), meetings_by_mail: mails.checked };
      await call("PUT", "/api/v1/me/notice-settings", { json: body });
      const times = { from: `${from.value}T00:00:00${ZONE}`, to: `${to.value}T23:59:59${ZONE}` };
      if (kind) await call("PUT", "/api/v1/me/absence", { json: { kind, ...times, deputy: deputy.value } });
      else await call("DELETE", "/api/v1/me/absence");
      say(t("awaySaved"));
      go("#/me");
    } catch (error) {
      say(words(error));
    }
  };
  deeds(h("button", { class: "main", onclick: save }, t("awaySave")));
}

/** Notices that somebody has to acknowledge. @param {import("./frame.js").Screen} screen */
export async function chainsScreen({ signal }) {
  const { main } = frame({ title: t("toldTitle"), back: "#/me", kind: "lone" });
  fill(main, waiting());
  let most = 50;
  const more = (/** @type {any} */ { currentTarget }) => {
    // Where there was nothing more, nothing is drawn anew.
    currentTarget.remove();
    most += 50;
    tell("notices");
  };
  await live(signal, () => every("/api/v1/escalations", signal, most), (items) => fill(
    main,
    items.length
      ? items.map((/** @type {any} */ one) =>
          h(
            "a", { class: `card u${one.urgency}`, href: `#/told/${one.notice}` },
            h("span", { class: "meta" }, chip(one.urgency), h("strong", {}, one.title), h("time", {}, dateTime(one.started_at))),
            outside(one.name, "subject"), h("span", { class: "meta" }, following(one.next) ?? t(`chain_${one.state}`)),
          ))
      : nothing("bell", t("noticesEmpty")),
    items.length >= most && h("button", { class: "plain", onclick: more }, t("more")),
  ));
}

/** Who is told next, and when. @param {{at: string, target: string} | null} next @param {string} [name] */
const following = (next, name) => next && t("toldNext", { time: dateTime(next.at), who: name ?? t(`target_${next.target}`) });

/** @param {import("./frame.js").Screen} screen @param {string} id */
export async function toldScreen({ signal }, id) {
  const { main } = frame({ title: t("toldTitle"), back: "#/notices", kind: "lone" });
  fill(main, waiting());
  await live(signal, () => read(`/api/v1/notices/${id}/told`, { signal }), (report) => fill(
    main,
    h("p", { class: "meta" }, chip(report.urgency), outside(report.name), report.chain !== "none" && t(`chain_${report.chain}`)),
    h("div", { class: "lines" }, report.told.map(line)),
    report.next.map((/** @type {any} */ one) => h("p", { class: "banner" }, icon("wait"), following(one, `${one.name} (${way(one)})`))),
  ));
}

/** @param {any} one */
const why = ({ outcome }) => t(`out_${outcome in WHY ? WHY[outcome] : outcome}`);
/** @type {Record<string, string>} */
const WHY = { "on-leave": "absent", "no-sender": "nobody", "no-duty-officer": "nobody", folded: "held", dead: "expired", rejected: "expired", no_transport: "no-such-channel", no_address: "no-such-channel" };

/** @param {{channel: string}} one */
const way = ({ channel }) => t(`way_${["sms", "email", "inbox", "none"].find((name) => name === channel) ?? "push"}`);

/** A telling with the farthest of its receipts. @param {any} one */
function line(one) {
  const receipt = ["acknowledged", "read", "shown", "received", "accepted"].find((name) => one[`${name}_at`]);
  return h(
    "div", { class: "line" }, icon(receipt === "acknowledged" ? "check" : receipt ? "bell" : "wait"),
    h(
      "div", { class: "grow" }, h("strong", {}, outside(one.name ?? why(one))),
      h("div", { class: "soft" }, `${dateTime(one.at)} · ${way(one)}`),
      h("div", { class: "soft" }, receipt ? `${t(`receipt_${receipt}`)} ${dateTime(one[`${receipt}_at`])}` : why(one)),
    ),
  );
}
