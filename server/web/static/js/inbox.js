/** Inbox and seal queue: what waits first, most urgent first. */
import { read } from "./api.js";
import { card, frame, nothing, signs, trouble, waiting } from "./frame.js";
import { t } from "./texts.js";
import { fill, h, icon } from "./view.js";

/** @param {import("./frame.js").Screen} screen */
export async function inbox({ me, signal, changed }) {
  const { main } = frame({ title: t("inboxTitle"), me, tab: "inbox" });
  fill(main, waiting());
  let needsKey = false;
  /** @type {any[]} */
  let items = [];
  let next = "";

  const group = (/** @type {string} */ title, /** @type {any[]} */ rows) =>
    rows.length > 0 && h("section", {}, h("h2", {}, title), rows.map((row) => card(row, `#/d/${row.id}`)));
  const draw = () => {
    const [mine, done] = [items.filter((item) => item.waiting), items.filter((item) => !item.waiting)];
    fill(
      main,
      needsKey && h("a", { class: "card call", href: "#/enrol" }, icon("lock"), h("span", {}, h("strong", {}, t("enrolCard")), h("br"), t("enrolCardHelp"))),
      mine.length ? group(t("inboxWaiting"), mine) : nothing("check", t(items.length ? "inboxEmpty" : "inboxNone")),
      group(t("inboxDone"), done),
      next && h("button", { class: "plain", onclick: more }, t("more")),
    );
  };
  const load = async () => {
    try {
      const [page, keyless] = await Promise.all([read("/api/v1/inbox", { signal }), signs(me) && withoutKey(me.device)]);
      ({ items, next } = page);
      needsKey = keyless;
      if (!signal.aborted) draw();
    } catch (error) {
      if (!signal.aborted && !items.length) fill(main, trouble(error, load));
    }
  };
  const more = async () => {
    const page = await read(`/api/v1/inbox?cursor=${encodeURIComponent(next)}`);
    items.push(...page.items);
    next = page.next;
    draw();
  };
  changed(load);
  await load();
}

/** Whether this device can sign with no credential yet. Once it can, the question is not asked again. @param {string} device */
async function withoutKey(device) {
  if (localStorage.getItem("enrolled")) return false;
  const [credentials, devices] = await Promise.all([read("/api/v1/me/credentials"), read("/api/v1/me/devices")]);
  const admitted = devices.some((/** @type {any} */ one) => one.id === device && one.admitted);
  const keyless = !admitted || !credentials.some((/** @type {any} */ one) => one.certificate);
  if (!keyless) localStorage.setItem("enrolled", "1");
  return keyless;
}

/** @param {import("./frame.js").Screen} screen */
export async function sealQueue({ me, signal, changed }) {
  const { main } = frame({ title: t("sealTitle"), me, tab: "seal" });
  fill(main, waiting());
  const load = async () => {
    try {
      const { items } = await read("/api/v1/seal-queue", { signal });
      if (signal.aborted) return;
      const rows = items.map((/** @type {any} */ item) => card({ ...item, waiting: true }, `#/d/${item.id}`));
      fill(main, rows.length ? h("section", {}, rows) : nothing("check", t("sealEmpty")));
    } catch (error) {
      if (!signal.aborted) fill(main, trouble(error, load));
    }
  };
  changed(load);
  await load();
}
