/** The demonstration's page: two clients in frames, buttons that change the world around them, panels that show what others have seen. */
import { language, sentence, speak, t } from "./texts.js";
import { fill, h, icon, outside } from "./view.js";

const POLL_MS = 1000;
const MOST = 32 * 1024 * 1024;
const PEOPLE = /** @type {const} */ (["leader", "clerk"]);

/** @type {any} What the panels show; null until the demonstration has answered. */
let state = null;
let shown = "";
let timer = 0;
/** What the last deed led to, by its name. @type {Record<string, {good: boolean, lines: () => any[]} | undefined>} */
const outcomes = {};
/** @type {Set<string>} */
const busy = new Set();
/** The frames outlive every redrawing, or the clients in them would start anew. @type {Record<string, HTMLIFrameElement>} */
const frames = {};
/** Which commands are open. @type {Set<string>} */
const opened = new Set();

// Calls.

/** @param {string} name @param {unknown} [json] @param {string} [query] @returns {Promise<any>} */
async function control(name, json, query = "") {
  const body = json instanceof Blob ? json : json === undefined ? undefined : JSON.stringify(json);
  const answer = await fetch(`/controls/${name}${query}`, { method: "POST", body });
  const said = await answer.json();
  if (said.error) throw Object.assign(new Error(said.error.code), { said: said.error });
  return said;
}

async function look() {
  clearTimeout(timer);
  try {
    const answer = await fetch("/state");
    const said = await answer.json();
    if (said.error) note(sentence(said.error));
    else {
      note("");
      const first = !state;
      state = said;
      if (first) {
        build();
        for (const who of PEOPLE) place(who);
      }
      draw();
    }
  } catch {
    note(t("lost"));
  }
  timer = setTimeout(look, document.hidden ? 5 * POLL_MS : POLL_MS);
}

/**
 * Do what a button says, and say what came of it. @param {string} name @param {() => Promise<any>} act
 * @param {(said: any) => {good?: boolean, lines: () => any[]}} tell
 */
async function deed(name, act, tell) {
  busy.add(name);
  outcomes[name] = { good: true, lines: () => [t("working")] };
  draw();
  try {
    outcomes[name] = { good: true, ...tell(await act()) };
  } catch (error) {
    const said = /** @type {any} */ (error).said;
    outcomes[name] = { good: false, lines: () => [said ? sentence(said) : t("lost")] };
  }
  busy.delete(name);
  await look();
}

/** @param {any} refused */
const refusal = (refused) => ({ good: false, lines: () => [t("refused", { reason: sentence(refused), code: refused.code })] });

// Frames.

/** Whether this browser has paired that frame in this run of the demonstration. @param {string} who */
const paired = (who) => localStorage.getItem(`paired-${who}`) === state.run;

/** Open a client: as it was left, or from its beginning with a fresh pairing link. @param {string} who */
async function place(who, anew = false) {
  const { origin, devices } = state.people[who];
  if (paired(who) && !anew) {
    frames[who].src = `${origin}/`;
    return;
  }
  localStorage.removeItem(`paired-${who}`);
  localStorage.setItem(`devices-${who}`, String(devices));
  try {
    frames[who].src = (await control("link", { who })).url;
  } catch {
    note(t("lost"));
  }
}

function remember() {
  for (const who of PEOPLE) {
    if (!paired(who) && state.people[who].devices > Number(localStorage.getItem(`devices-${who}`) ?? Infinity)) localStorage.setItem(`paired-${who}`, state.run);
  }
}

// Drawing.

/** @param {string} text */
function note(text) {
  const line = document.getElementById("note");
  if (!line) {
    fill(/** @type {Element} */ (document.getElementById("page")), h("p", { id: "note", class: "note", role: "status" }, text));
    return;
  }
  if (line.textContent !== text) fill(line, text);
  line.hidden = !text;
}

/** The parts that stay: head, frames, places for deeds and panels. */
function build() {
  speak(language());
  document.title = t("title");
  const part = (/** @type {string} */ id, /** @type {string} */ tag = "section") => h(/** @type {any} */ (tag), { id, class: id });
  const client = (/** @type {"leader" | "clerk"} */ who) => {
    frames[who] ??= h("iframe", { id: `frame-${who}`, referrerpolicy: "no-referrer" });
    frames[who].title = t(who === "leader" ? "frameLeader" : "frameClerk");
    return h("section", { class: `client ${who}` }, h("div", { id: `who-${who}`, class: "who-is" }), h("div", { class: "device" }, frames[who]));
  };
  const again = Object.keys(frames).length > 0;
  const head = h(
    "header", { class: "head" },
    h("img", { src: "/icon.svg", alt: "", width: "44", height: "44" }),
    h("div", { class: "grow" }, h("h1", {}, t("title")), h("p", { class: "legal" }, t("legal"))),
    h("nav", {}, h("a", { class: "plain slim", href: `${state.base_url}/api`, target: "_blank", rel: "noopener" }, t("api")), h("button", { class: "plain slim", onclick: switchLanguage }, t("other"))),
  );
  if (again) {
    // Only words change: the frames stay where they are.
    document.querySelector(".head")?.replaceWith(head);
    fill(/** @type {Element} */ (document.getElementById("lead")), t("lead"));
    for (const who of PEOPLE) frames[who].title = t(who === "leader" ? "frameLeader" : "frameClerk");
    return;
  }
  fill(
    /** @type {Element} */ (document.getElementById("page")), head,
    h("p", { id: "note", class: "note", role: "status", hidden: true }), h("p", { id: "lead", class: "lead" }, t("lead")),
    h("div", { class: "stage" }, client("leader"), client("clerk"), h("div", { class: "side" }, part("world"), part("deeds"))),
    h("div", { class: "panels" }, h("div", {}, part("docs"), part("axis")), h("div", {}, part("log"), part("google"))),
  );
}

function switchLanguage() {
  speak(language() === "en" ? "vi" : "en");
  build();
  draw();
}

function draw() {
  if (!state) return;
  remember();
  // Redrawn only when something has changed: focus, selection and open commands stay.
  const now = JSON.stringify([state, [...busy], [...opened], Object.keys(outcomes).map((name) => [name, outcomes[name]?.lines().join()]), language()]);
  if (now === shown) return;
  shown = now;
  const focused = document.activeElement?.id;
  for (const who of PEOPLE) redraw(`who-${who}`, person(who));
  redraw("world", world());
  redraw("deeds", deeds());
  redraw("docs", documents());
  redraw("log", log());
  redraw("axis", axis());
  redraw("google", google());
  if (focused && focused !== document.activeElement?.id) document.getElementById(focused)?.focus({ preventScroll: true });
}

/** @type {Record<string, string>} */
const drawn = {};
/** @param {string} id @param {any[]} children */
function redraw(id, children) {
  const place = /** @type {Element} */ (document.getElementById(id));
  const made = h("div", {}, children);
  const text = `${made.textContent}${[...made.querySelectorAll("[class], [disabled], [hidden]")].map((one) => `${one.className}${one.hasAttribute("disabled")}${one.hasAttribute("hidden")}`).join()}`;
  if (drawn[id] === text) return;
  drawn[id] = text;
  fill(place, ...made.childNodes);
}

/** @param {"leader" | "clerk"} who */
function person(who) {
  const { name, pin, origin } = state.people[who];
  return [
    h("h2", {}, t(who), " ", h("span", { class: "soft" }, outside(name))),
    h("p", { class: "where" }, h("span", { class: "mono soft" }, origin), h("span", { class: "pin-is" }, t("pin"), " ", h("strong", { class: "mono" }, pin))),
    h("button", { id: `repair-${who}`, class: "plain slim", onclick: () => place(who, true) }, t("repair")),
    !paired(who) && h("p", { class: "steps" }, t("steps")),
  ];
}

/** A command that can be opened and copied: what opens it, and the command while it is open. @param {string} name */
function command(name) {
  const text = state.curl[name];
  const open = opened.has(name);
  const toggle = () => {
    if (!opened.delete(name)) opened.add(name);
    draw();
  };
  const copy = async (/** @type {Event} */ event) => {
    const place = /** @type {HTMLElement} */ (event.target);
    await navigator.clipboard.writeText(text);
    fill(place, t("copied"));
    setTimeout(() => fill(place, t("copy")), 1500);
  };
  return [
    h("button", { id: `curl-${name}`, class: "curl-open", "aria-expanded": String(open), "aria-controls": `command-${name}`, onclick: toggle }, "curl ", open ? "▴" : "▾"),
    h("div", { id: `command-${name}`, class: "curl", hidden: !open }, h("pre", { tabindex: "0" }, h("code", {}, text)), h("button", { class: "plain slim", onclick: copy }, t("copy"))),
  ];
}

/** @param {string} name */
function outcome(name) {
  const found = outcomes[name];
  return found && h("div", { class: `outcome ${found.good ? "good" : "bad"}`, role: "status" }, found.lines().map((line) => h("p", {}, line)));
}

/** @param {string} name @param {string} title @param {string} help @param {string} drawing @param {() => void} act */
function button(name, title, help, drawing, act, kind = "plain") {
  return h(
    "div", { class: "deed" },
    h("button", { id: `deed-${name}`, class: kind, disabled: busy.has(name), "aria-describedby": `help-${name}`, onclick: act }, icon(drawing), h("span", {}, title)),
    h("p", { id: `help-${name}`, class: "soft small" }, help), command(name), outcome(name),
  );
}

function deeds() {
  const { tsa, exchange, damage } = state;
  const tsaOn = tsa?.on !== false;
  return [
    h("h2", {}, t("deeds")),
    button("urgent", t("urgent"), t("urgentHelp"), "bell", () => deed("urgent", () => control("urgent"), taken), "main danger"),
    button("own", t("own"), t("ownHelp"), "down", choose),
    button("tsa", t(tsaOn ? "tsaOff" : "tsaOn"), t("tsaHelp"), "wait", () => deed("tsa", () => control("tsa", { on: !tsaOn }), (said) => ({ lines: () => [t(said.on ? "tsaIsOn" : "tsaIsOff")] }))),
    button("exchange", t(exchange.on ? "exchangeOff" : "exchangeOn"), t("exchangeHelp"), "inbox", () =>
      deed("exchange", () => control("exchange", { off_s: exchange.on ? 60 : 0 }), (said) => ({ lines: () => [t(said.on ? "exchangeIsOn" : "exchangeIsOff")] })),
    ),
    button("worker", t("worker"), t("workerHelp"), "cross", () => deed("worker", () => control("worker"), (said) => ({ lines: () => [t("killed", said)] }))),
    button("recall", t("recall"), t("recallHelp"), "reply", () =>
      deed("recall", () => control("recall"), (said) => (said.refused ? refusal(said.refused) : { lines: () => [t("recalled", said)] })),
    ),
    button("byte", t(damage ? "byteBack" : "byteChange"), t("byteHelp"), "pen", () => deed("byte", () => control("byte", { changed: !damage }), seen)),
  ];
}

/** @param {any} said */
function taken(said) {
  if (said.refused) return refusal(said.refused);
  return { lines: () => [t("sent", { ...said, ms: Math.round(said.ms) })] };
}

function choose() {
  const input = h("input", { type: "file", accept: "application/pdf", id: "own-file" });
  input.addEventListener("change", () => {
    const file = input.files?.[0];
    if (!file) return;
    const act = async () => {
      if (file.size > MOST) throw Object.assign(new Error("large"), { said: { vi: t("tooLarge"), en: t("tooLarge") } });
      return control("own", file, `?name=${encodeURIComponent(file.name)}`);
    };
    deed("own", act, taken);
  });
  input.click();
}

/** Who noticed the changed byte. @param {any} said */
function seen(said) {
  const { api, receipt, number, offset } = said;
  const lines = () => [
    api.refused ? t("byteRefused", { number, offset, reason: sentence(api.refused) }) : t(api.same ? "byteSame" : "byteWrong", { number }),
    receipt && t("byteReceipt", { reason: receipt.holds ? t("receiptFits") : sentence(receipt) }),
  ].filter(Boolean);
  delete outcomes.verify;
  return { good: said.changed ? Boolean(api.refused) : api.same, lines };
}

// Panels.

function world() {
  const { tsa, exchange, worker } = state;
  const light = (/** @type {string} */ name, /** @type {boolean | null} */ good, /** @type {string} */ text) =>
    h("li", { class: good ? "good" : "bad" }, h("span", { class: "soft" }, t(name)), h("strong", {}, text));
  return [
    h(
      "ul", {},
      light("tsaState", tsa?.on ?? false, tsa ? t(tsa.on ? "on" : "off") : t("silent")),
      light("lineState", exchange.on, exchange.on ? t("on") : t("cut", { s: exchange.back_in_s })),
      light("workerState", worker.alive, worker.alive ? t(worker.late_s >= 0.5 ? "workerLate" : "workerIs", { pid: worker.pid, s: (worker.late_s ?? 0).toFixed(1) }) : t("dead")),
    ),
  ];
}

/** @param {string} title @param {any} help @param {any} body @param {string} name */
const panel = (title, help, body, name) => [h("div", { class: "panel-head" }, h("h2", {}, title), command(name)), help && h("p", { class: "soft small" }, help), body];

function documents() {
  const rows = state.documents.map((/** @type {any} */ one) =>
    h(
      "li", { class: `row u${one.urgency} ${one.state}` }, h("span", { class: "number" }, outside(`${one.number}/${one.notation}`)),
      outside(one.subject, "grow"), h("span", { class: "chip" }, t(`s_${one.state}`)),
    ),
  );
  return panel(t("docs"), "", rows.length ? h("ul", { class: "rows" }, rows) : h("p", {}, t("docsNone")), "documents");
}

const clock = (/** @type {number} */ us) => new Date(us / 1000).toLocaleTimeString(language() === "en" ? "en-GB" : "vi-VN");
const hex = (/** @type {string} */ digest) => h("span", { class: "mono digest", title: digest }, digest.slice(0, 12), "…");

function log() {
  const { log: found } = state;
  const row = (/** @type {string} */ name, /** @type {any} */ value) => h("div", {}, h("dt", {}, t(name)), h("dd", {}, value));
  const body = found
    ? [
        h("p", { class: `verdict ${found.fault ? "bad" : "good"}` }, icon(found.fault ? "warn" : "check"), found.fault ? t("logBroken", { fault: found.fault }) : t("logHolds")),
        h("dl", {}, row("logSize", String(found.size)), row("logRoot", hex(found.root)), row("logIncluded", `${found.included}/${found.included}`), row("logConsistent", `${found.consistent}/${found.heads}`)),
      ]
    : h("p", {}, t("silent"));
  const judged = (/** @type {any} */ said) => [
    said.log.fault ? t("logBroken", { fault: said.log.fault }) : t("logHolds"),
    ...said.receipts.map((/** @type {any} */ one) => t(one.holds ? "receiptHolds" : "receiptFails", { name: one.receipt, reason: sentence(one) })),
    said.holds ? t("allHolds", { number: said.number ?? "—" }) : t("notAll"),
  ];
  const act = () => deed("verify", () => control("verify"), (said) => ({ good: said.holds, lines: () => judged(said) }));
  return [
    ...panel(t("log"), t("logHelp"), body, "log"),
    h("div", { class: "verify" }, h("button", { id: "deed-verify", class: "plain slim", disabled: busy.has("verify"), onclick: act }, t("verify")), command("verify"), outcome("verify")),
  ];
}

function axis() {
  const { exchange } = state;
  const row = (/** @type {any} */ one) =>
    h(
      "li", { class: `row ${one.kind}` },
      h("span", { class: "soft mono" }, clock(one.sent_us)),
      h(
        "span", { class: "grow" }, h("strong", {}, one.kind === "edoc" ? t("edoc") : t("status", { code: one.status })), " ", outside(one.notation || one.document_id.split(",").pop()),
        h("span", { class: "soft" }, ` ${one.sender} → ${one.copies.map((/** @type {any} */ copy) => copy.receiver).join(", ")}`),
      ),
      h("span", { class: "soft" }, `${Math.ceil(one.size / 1024)} kB`), hex(one.sha256),
    );
  const { packets } = exchange;
  const body = packets ? h("ul", { class: "rows" }, packets.shown.map(row)) : h("p", {}, t("silent"));
  const help = [packets && t("axisHelp", { n: packets.count }), !exchange.on && h("strong", { class: "late" }, " ", t("axisCut", { s: exchange.back_in_s }))];
  return panel(t("axis"), help, body, "packets");
}

function google() {
  const { requests, count } = state.google;
  const row = (/** @type {any} */ one) => {
    const key = `raw-${one.at_us}`;
    const toggle = (/** @type {any} */ event) => (event.target.open ? opened.add(key) : opened.delete(key));
    const { token, fid, data, android } = JSON.parse(one.raw).message;
    return h(
      "li", { class: "row" }, h("span", { class: "soft mono" }, clock(one.at_us)),
      h(
        "div", { class: "grow" }, h("strong", {}, outside(android?.notification?.body ?? "—")), h("span", { class: "soft" }, ` → ${(token ?? fid).slice(0, 11)}…`),
        h("details", { open: opened.has(key), ontoggle: toggle }, h("summary", { class: "mono", "aria-label": t("whole", { id: data?.id }) }, data?.id), h("pre", { tabindex: "0" }, h("code", {}, readable(one.raw)))),
      ),
      h("span", { class: `chip ${one.status === 200 ? "here" : ""}` }, String(one.status ?? one.answer)),
    );
  };
  return panel(t("google"), t("googleHelp", { n: count }), h("ul", { class: "rows" }, requests.map(row)), "google");
}

/** The whole body as it was sent, the registration token shortened. @param {string} raw */
const readable = (raw) => JSON.stringify(JSON.parse(raw), null, 1).replace(/("(?:token|fid)":\s*")([^"]{16})[^"]*"/, '$1$2…"');

speak(language());
note(t("starting"));
look();
document.addEventListener("visibilitychange", () => !document.hidden && look());
