/** The notices of this person, newest first, and their acknowledgement. */
import { call, post, read } from "./api.js";
import { chip, frame, nothing, trouble, waiting, words } from "./frame.js";
import { ago, language, t } from "./texts.js";
import { fill, h, icon, outside, say } from "./view.js";

/** @param {import("./frame.js").Screen} screen */
export async function noticesScreen({ me, signal, changed }) {
  const { main } = frame({ title: t("noticesTitle"), me, tab: "notices" });
  fill(main, waiting());
  /** @type {any[]} */
  let items = [];
  let next = "";

  const draw = () =>
    fill(main, items.length ? h("section", {}, items.map(line)) : nothing("bell", t("noticesEmpty")), next && h("button", { class: "plain", onclick: more }, t("more")));
  const load = async () => {
    try {
      ({ items, next } = await read("/api/v1/notices", { signal }));
      if (signal.aborted) return;
      draw();
      await seen(items);
    } catch (error) {
      if (!signal.aborted && !items.length) fill(main, trouble(error, load));
    }
  };
  const more = async () => {
    const page = await read(`/api/v1/notices?cursor=${encodeURIComponent(next)}`);
    items.push(...page.items);
    next = page.next;
    draw();
  };

  /** @param {any} item */
  function line(item) {
    const acknowledge = async () => {
      button.disabled = true;
      try {
        await call("POST", `/api/v1/notices/${item.id}/acknowledgement`, { tries: 4 });
        item.acknowledged_at = new Date().toISOString();
        button.replaceWith(h("p", { class: "soft acked" }, icon("check"), t("noticeAcked")));
      } catch (error) {
        button.disabled = false;
        say(words(error));
      }
    };
    const button = h("button", { class: "plain", onclick: acknowledge, "aria-label": `${t("noticeAck")}: ${item.number ?? title(item)}` }, t("noticeAck"));
    const body = [
      h("span", { class: "meta" }, chip(item.urgency), h("strong", {}, title(item)), h("time", { datetime: item.created_at }, ago(item.created_at))),
      item.number && outside(item.number, "number"), item.subject && outside(item.subject, "subject"),
    ];
    return h(
      "article", { class: `card notice u${item.urgency}` },
      item.document ? h("a", { class: "body", href: `#/d/${item.document}` }, body) : h("div", { class: "body" }, body),
      item.acknowledged_at ? h("p", { class: "soft acked" }, icon("check"), t("noticeAcked")) : button,
    );
  }
  changed(load);
  await load();
}

/** @param {any} item */
const title = (item) => (language() === "en" ? item.title_en : item.title);

/** What this device showed, once a notice. @type {Set<string>} */
const told = new Set();
/** @param {any[]} items */
async function seen(items) {
  const at = new Date().toISOString();
  const fresh = items.filter((item) => !told.has(item.id) && !item.acknowledged_at).slice(0, 200);
  if (!fresh.length) return;
  await post("/api/v1/receipts", { reports: fresh.map((item) => ({ notice: item.id, event: "shown", at })) }, { tries: 2 });
  for (const item of fresh) told.add(item.id);
}
