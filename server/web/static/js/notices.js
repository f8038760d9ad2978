/** The notices of this person, newest first, and their acknowledgement. */
import { events, later, pause, post, read } from "./api.js";
import { chip, frame, nothing, trouble, waiting, words } from "./frame.js";
import { queued } from "./offline.js";
import { standing, subscribe, tidy, turnOff } from "./push.js";
import { get, put } from "./store.js";
import { ago, dateTime, language, t } from "./texts.js";
import { fill, h, icon, outside, place, say } from "./view.js";

/** @param {import("./frame.js").Screen} screen */
export async function noticesScreen({ me, signal }) {
  const { main } = frame({ title: t("navNotices"), me, tab: "notices" });
  fill(main, waiting());
  /** @type {any[]} */
  let items = [];
  /** @type {string | null} */
  let next = null;

  const draw = () =>
    fill(main, items.length ? h("section", {}, items.map(line)) : nothing("bell", t("noticesEmpty")), next && h("button", { class: "plain", onclick: more }, t("more")));
  const load = async () => {
    try {
      ({ items, next } = await read("/api/v1/notices", { signal, kept: true }));
      for (const { name } of await queued()) acked.set(name.replace("ack:", ""), false);
      if (signal.aborted) return;
      draw();
      await seen(items).catch(() => {});
    } catch (error) {
      if (!signal.aborted && !items.length) fill(main, trouble(error, load));
    }
  };
  const more = async () => {
    const page = await read(`/api/v1/notices?cursor=${encodeURIComponent(next ?? "")}`);
    items.push(...page.items);
    next = page.next;
    draw();
  };

  /** @param {any} item */
  function line(item) {
    const acknowledge = async () => {
      button.disabled = true;
      try {
        const sent = await later(`ack:${item.id}`, `/api/v1/notices/${item.id}/acknowledgement`);
        acked.set(item.id, sent);
        button.replaceWith(mark(sent));
        tidy().catch(() => {});
      } catch (error) {
        button.disabled = false;
        say(words(error));
      }
    };
    const at = place(item);
    const button = h("button", { class: "plain", onclick: acknowledge, "aria-label": `${t("noticeAck")}: ${item.number ?? title(item)}` }, t("noticeAck"));
    const body = [
      h("span", { class: "meta" }, chip(item.urgency), h("strong", {}, title(item)), h("time", { datetime: item.created_at }, ago(item.created_at))),
      item.number && outside(item.number, "number"), outside(item.subject ?? item.headline, "subject"), item.kind === "send_failed" && item.subject && outside(item.headline),
    ];
    return h(
      "article", { class: `card notice u${item.urgency}` },
      at ? h("a", { class: "body", href: at }, body) : h("div", { class: "body" }, body),
      item.next && !acked.has(item.id) && h("a", { class: "line", href: `#/told/${item.id}` }, icon("wait"), t("toldNext", { time: dateTime(item.next.at), who: t(`target_${item.next.target}`) })),
      item.acknowledged_at || acked.has(item.id) ? mark(item.acknowledged_at || acked.get(item.id)) : button,
    );
  }
  events.addEventListener("notices", load, { signal });
  await load();
}

/** What was acknowledged here, whatever an older answer says; whether it was sent. @type {Map<string, boolean>} */
const acked = new Map();
/** @param {boolean} sent */
const mark = (sent) => h("p", { class: "soft acked" }, icon(sent ? "check" : "wait"), t(sent ? "noticeAcked" : "offlineSent"));

/** @param {any} item */
const title = (item) => (language() === "en" ? item.title_en : item.title);

/** What this device showed, once a notice. @type {Set<string>} */
const told = new Set();
/** @param {any[]} items */
async function seen(items) {
  if (document.hidden) return; // nobody sees it: it is pushed
  const at = new Date().toISOString();
  const fresh = items.filter((item) => !told.has(item.id) && !item.acknowledged_at).slice(0, 200);
  if (!fresh.length) return;
  await post("/api/v1/receipts", { reports: fresh.map((item) => ({ notice: item.id, event: "shown", at })) }, { tries: 2 });
  for (const item of fresh) told.add(item.id);
}

let looking = false;
/** A notice has come. Where the screen shows what it is about, or a card of that, it is shown: this device need not be pushed it. */
export async function onScreen() {
  if (looking) return;
  looking = true;
  // What comes together is asked for once, when the screen has heard of it, too, and not by everybody at once; a push waits two seconds for this.
  await pause(500 + 600 * Math.random());
  looking = false;
  if (document.hidden || /^#\/(notices|held)$/.test(location.hash)) return;
  const { items } = await read("/api/v1/notices?limit=20");
  await seen(items.filter((item) => stands(place(item))));
}

/** Whether a screen that follows changes is open, or a card of it in sight. @param {string} [at] */
const stands = (at = "") => /^#\/[damo]\//.test(at) && ([at, `${at}/sign`].includes(location.hash) || [...document.querySelectorAll(`a.card[href="${at}"]`)].some((one) => {
  const { top, bottom } = one.getBoundingClientRect();
  return bottom > 0 && top < innerHeight;
}));

/** Whether this device is told when the app is closed; asked for by a tap of the person. @param {AbortSignal} signal */
export function pushSettings(signal) {
  const part = h("fieldset", {}, h("legend", {}, t("navNotices")));
  const load = async () => {
    const { can, state } = await standing();
    const on = state === "active" || state === "pending";
    const detail = h("input", { type: "checkbox", checked: await get("detail"), onchange: () => put("detail", detail.checked) });
    fill(
      part, h("legend", {}, t("navNotices")),
      h("p", { class: "soft", role: "status" }, t(!can ? "pushNone" : state === "active" ? "pushOn" : on ? "pushWait" : "pushOff")),
      can && h("button", { class: "plain", onclick: () => act(on) }, t(on ? "pushUndo" : "pushDo")),
      on && h("label", { class: "tickline" }, detail, t("pushDetail")),
    );
  };
  /** @param {boolean} on */
  const act = async (on) => {
    try {
      if (on) await turnOff();
      else if ((await Notification.requestPermission()) === "granted") await subscribe();
      await load();
    } catch (error) {
      say(words(error));
    }
  };
  navigator.serviceWorker?.addEventListener("message", ({ data }) => data.push && load(), { signal });
  load().catch(() => part.remove());
  return part;
}
