/** What was issued, signed, acknowledged and is overdue: numbers in the server's words, charts as it drew them, a table for a spreadsheet. */
import { call, read } from "./api.js";
import { frame, trouble, waiting, words } from "./frame.js";
import { language, t } from "./texts.js";
import { download, field, fill, h, say } from "./view.js";

/** A day in Vietnam. @param {number} before */
const day = (before) => new Date(Date.now() + 7 * 3_600_000 - before * 86_400_000).toISOString().slice(0, 10);

/** @param {import("./frame.js").Screen} screen */
export async function reportsScreen({ signal }) {
  const { main, deeds } = frame({ title: t("reports"), back: "#/me", kind: "lone" });
  const [from, to] = [29, 0].map((before) => h("input", { type: "date", value: day(before), onchange: () => load() }));
  const shown = h("div", { class: "lines" });
  const asked = () => `from=${from.value}&to=${to.value}&lang=${language()}`;
  fill(main, h("section", { class: "group" }, field(t("awayFrom"), from), field(t("awayTo"), to)), shown);
  deeds(h("button", {
    class: "main",
    onclick: async () => {
      try {
        download(await call("GET", `/api/v1/reports/table?${asked()}`), "text/csv", `${from.value}_${to.value}.csv`);
      } catch (error) {
        say(words(error));
      }
    },
  }, t("reportsTable")));
  let turn = 0;
  await load();

  async function load() {
    const mine = ++turn;
    const over = () => signal.aborted || mine !== turn;
    fill(shown, waiting());
    try {
      const { lines, charts } = await read(`/api/v1/reports?${asked()}`, { signal });
      const pictures = await Promise.all(charts.map(async ({ name, title }) => {
        const src = URL.createObjectURL(new Blob([await call("GET", `/api/v1/reports/charts/${name}?${asked()}`, { signal })], { type: "image/svg+xml" }));
        return h("img", { class: "chart", alt: title, src, onload: () => URL.revokeObjectURL(src) });
      }));
      if (over()) return;
      fill(shown, h("dl", { class: "group sums" }, lines.map(({ name, value }) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))), pictures);
    } catch (error) {
      if (!over()) fill(shown, trouble(error, load));
    }
  }
}
