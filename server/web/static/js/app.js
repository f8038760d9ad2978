/** The start of the client: who is here, which screen, what has changed on the server. */
import { Problem, events, flush, forget, listen as hearing, meanwhile, pause, post, read, self, tell } from "./api.js";
import { approveScreen, batchScreen } from "./approve.js";
import { documentScreen, giveBack } from "./document.js";
import { frame, has, keepsPeople, nothing, panes, reads, trouble, waiting, wide } from "./frame.js";
import { inbox, listen, nothingOpen, sealQueue } from "./inbox.js";
import { closed, dress, enrolment, meScreen, pairingLink, pinScreen, welcome } from "./me.js";
import { noticesScreen, onScreen } from "./notices.js";
import { purge, wipe } from "./offline.js";
import { leave as leavePush, renew, tidy } from "./push.js";
import * as store from "./store.js";
import { dateTime, language, speak, t } from "./texts.js";
import { fill, h, icon, say } from "./view.js";

const LIVE_MS = 4000;
/** Where no stream comes through: how often the server is asked before the next try. */
const ASKING = 15;
const CALM_MS = 3000;
const DOCUMENT = "([0-9a-f]{32})";

/** What stands beside a document where there is room. @type {Record<string, (screen: import("./frame.js").Screen) => Promise<void>>} */
const LISTS = { "#/": inbox, "#/seal": sealQueue };

/**
 * What few people open comes when it is opened. Where the client was replaced since, its file is another: the page begins anew, with that
 * client; once, and not without a network. @template M @param {Promise<M>} module
 */
async function opened(module) {
  try {
    const found = await module;
    sessionStorage.removeItem("anew");
    return found;
  } catch (error) {
    await read("/api/v1/me");
    if (sessionStorage.getItem("anew")) throw error;
    sessionStorage.setItem("anew", "1");
    location.reload();
    return new Promise(() => {});
  }
}

/** @type {[RegExp, (screen: import("./frame.js").Screen, id: string, device: string) => Promise<void>][]} */
const SCREENS = [
  [/^#\/$/, inbox],
  [/^#\/seal$/, sealQueue],
  [new RegExp(`^#/d/${DOCUMENT}$`), documentScreen],
  [new RegExp(`^#/d/${DOCUMENT}/sign$`), approveScreen],
  [new RegExp(`^#/d/${DOCUMENT}/return$`), giveBack],
  [/^#\/notices$/, noticesScreen],
  [/^#\/me$/, meScreen],
  [/^#\/pin$/, pinScreen],
  [/^#\/enrol$/, enrolment],
  [/^#\/batch$/, batchScreen],
  [/^#\/officer$/, async (screen) => (await opened(import("./people.js"))).officerScreen(screen)],
  [/^#\/people$/, async (screen) => (await opened(import("./people.js"))).peopleScreen(screen)],
  [new RegExp(`^#/people/${DOCUMENT}$`), async (screen, id) => (await opened(import("./people.js"))).personScreen(screen, id)],
  [new RegExp(`^#/people/${DOCUMENT}/${DOCUMENT}$`), async (screen, id, device) => (await opened(import("./people.js"))).voucherScreen(screen, id, device)],
  [/^#\/device$/, async () => (await opened(import("./people.js"))).furtherDevice()],
  [/^#\/handover\/([0-9a-f]{64})$/, async (screen, id) => (await opened(import("./people.js"))).handOverScreen(screen, id)],
  [/^#\/authority$/, async (screen) => (await opened(import("./authority.js"))).authorityScreen(screen)],
  [/^#\/authority\/new$/, async (screen) => (await opened(import("./authority.js"))).grantScreen(screen)],
  [new RegExp(`^#/d/${DOCUMENT}/deputy$`), async (screen, id) => (await opened(import("./authority.js"))).deputyScreen(screen, id)],
  [/^#\/image\/(mine|seal)$/, async (screen, which) => (await opened(import("./authority.js"))).imageScreen(screen, which)],
  [/^#\/a(?:\/([0-9a-z/]+))?$/, async (screen, rest) => (await opened(import("./arrivals.js"))).arrivals(screen, rest)],
  [/^#\/m(?:\/([0-9a-z/]+))?$/, async (screen, rest) => (await opened(import("./meetings.js"))).meetings(screen, rest)],
  [/^#\/o(?:\/([0-9a-z/]+))?$/, async (screen, rest) => (await opened(import("./directives.js"))).directives(screen, rest)],
  [/^#\/away$/, async (screen) => (await opened(import("./told.js"))).awayScreen(screen)],
  [/^#\/told$/, async (screen) => (await opened(import("./told.js"))).chainsScreen(screen)],
  [/^#\/told\/([\w-]{22})$/, async (screen, id) => (await opened(import("./told.js"))).toldScreen(screen, id)],
  [/^#\/rules$/, async (screen) => (await opened(import("./rules.js"))).rulesScreen(screen)],
  [/^#\/reports$/, async (screen) => (await opened(import("./reports.js"))).reportsScreen(screen)],
  [/^#\/held$/, async (screen) => (await opened(import("./rules.js"))).heldScreen(screen)],
  [/^#\/calendar$/, async (screen) => (await opened(import("./rules.js"))).feedScreen(screen)],
  [/^#\/verify$/, async (screen) => (await opened(import("./verify.js"))).verifyScreen(screen)],
];

/** @type {import("./frame.js").Me | undefined} */
let me;
let leaving = new AbortController();
const live = new EventTarget();

/** @param {string} hash */
function go(hash) {
  if (location.hash === hash) show();
  else location.hash = hash;
}

/** @param {AbortSignal} signal @returns {import("./frame.js").Screen} */
const screenFor = (signal) => ({
  me: /** @type {import("./frame.js").Me} */ (me), signal, go,
  changed: (act) => live.addEventListener("changes", (event) => act(/** @type {CustomEvent} */ (event).detail), { signal }),
});

let beside = new AbortController();
let list = "";
/** Keep the list beside what is opened, where there is room. @param {string} hash */
function aside(hash) {
  const wanted = LISTS[hash] ? hash : list.split(" ")[0] || "#/";
  const side = /** @type {HTMLElement} */ (document.getElementById("side"));
  if (panes.on === side.hidden) list = "";
  side.hidden = !panes.on;
  document.body.classList.toggle("desk", panes.on);
  const now = `${wanted} ${language()}`;
  if (!panes.on) {
    // A list that was still being fetched would stay there, half drawn, behind whatever comes.
    beside.abort();
    fill(side);
  }
  if (!panes.on || now === list) return;
  list = now;
  beside.abort();
  beside = new AbortController();
  LISTS[wanted](screenFor(beside.signal));
}

function show() {
  leaving.abort();
  const { signal } = (leaving = new AbortController());
  if (!me) return;
  const hash = location.hash || (reads(me) ? "#/" : keepsPeople(me) ? (has(me, "registration_officer") ? "#/officer" : "#/people") : "#/me");
  panes.on = wide.matches && reads(me);
  aside(hash);
  const screen = screenFor(signal);
  if (panes.on) {
    for (const one of document.querySelectorAll("#list a.card, #side .tab")) {
      const href = one.getAttribute("href") ?? "-";
      if (hash === href || (href.length > 3 && hash.startsWith(`${href}/`))) one.setAttribute("aria-current", "page");
      else one.removeAttribute("aria-current");
    }
    if (LISTS[hash]) return nothingOpen(frame({ title: t("app"), kind: "lone" }).main);
  }
  const found = SCREENS.map(([pattern, open]) => ({ match: pattern.exec(hash), open })).find(({ match }) => match);
  if (!found) {
    fill(frame({ title: t("app"), me, tab: "none" }).main, nothing("cross", t("missing")));
    return;
  }
  found.open(screen, found.match?.[1] ?? "", found.match?.[2] ?? "").catch((error) => {
    if (!signal.aborted) fill(/** @type {HTMLElement} */ (document.getElementById("main")), trouble(error, show));
  });
}

async function start() {
  const device = await self();
  if (!device || device.code) return welcome(start);
  if (device.closed) {
    // What was on its way when somebody logged out may have been kept after all had gone.
    wipe().catch(() => {});
    return closed(start);
  }
  if (pairingLink()) {
    history.replaceState(null, "", "/");
    say(t("pairKnown"));
  }
  fill(frame({ title: t("app"), kind: "lone" }).main, waiting());
  // Asked before the copy is read; the first screen does not wait for the answer where there is a copy.
  const asked = read("/api/v1/me", { kept: true });
  asked.catch(() => {});
  me ??= await meanwhile("/api/v1/me");
  const early = me && JSON.stringify(me);
  if (me && !ended) show();
  try {
    me = await asked;
  } catch (error) {
    // With a copy the screens say for themselves what does not come, and the feed below goes on asking.
    if (!me && !ended) fill(frame({ title: t("app"), kind: "lone" }).main, trouble(error, start));
    if (!me) return;
  }
  if (ended) return;
  if (JSON.stringify(me) !== early) show();
  follow();
  flush().then(renew).catch(() => {});
}

const shown = async () => {
  while (document.hidden) await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
};

/** Keep up while somebody looks: by the stream, else by asking again and again. */
async function follow() {
  let turn = Promise.resolve();
  const hear = (/** @type {string} */ name) => {
    const all = name === "reload";
    if (all || name === "changes") turn = turn.then(catchUp);
    if (name === "notices") onScreen().catch(() => {});
    for (const one of ["notices", "meetings"]) if (all || name === one) tell(one);
  };
  for (let asking = 0; !ended; asking--) {
    await shown();
    const ending = new AbortController();
    const { signal } = ending;
    const end = () => ending.abort();
    document.addEventListener("visibilitychange", end, { signal });
    window.addEventListener("offline", end, { signal });
    events.addEventListener("revoked", end, { signal });
    const heard = asking > 0 ? undefined : await hearing(ending, hear);
    end();
    if (heard === false) asking = ASKING;
    if (!heard) {
      await shown();
      hear("reload");
      await turn;
    }
    await pause(heard ? Math.random() * CALM_MS : LIVE_MS);
  }
}

/** @type {string | undefined} */
let place;
/** The changes feed to its end, however long the network is away. Without a place yet, what lies behind is passed over. */
async function catchUp() {
  place ??= (await store.get("place")) ?? "";
  const first = !place;
  while (!ended && me && reads(me)) {
    try {
      /** @type {Set<string>} */
      const documents = new Set();
      for (let more = true; more; ) {
        const page = await read(`/api/v1/changes?limit=200${place ? `&cursor=${encodeURIComponent(place)}` : ""}`);
        const gone = page.items.filter(({ document, tombstone }) => documents.add(document) && tombstone);
        for (const { document } of gone) await purge(document);
        // The proof (EXC-5): without its answer this place of the feed is asked for again.
        if (gone.length) await post("/api/v1/purges", { documents: gone.map(({ document }) => document) });
        // The lists went with it; without a network there should be one.
        if (gone.length) read("/api/v1/inbox", { kept: true }).catch(() => {});
        more = page.items.length === 200;
        place = page.next;
      }
      if (documents.size) {
        await store.put("place", place);
        if (!first) changed(documents);
        tidy().catch(() => {});
      }
      return;
    } catch (error) {
      if (error instanceof Problem && error.status < 500 && error.status !== 401) return;
    }
    await pause(LIVE_MS);
    await shown();
  }
}

/** @param {Set<string>} documents */
const changed = (documents) => live.dispatchEvent(new CustomEvent("changes", { detail: documents }));

let ended = false;
events.addEventListener("revoked", () => {
  ended = true;
  leaving.abort();
  Promise.all([wipe(), leavePush()]).catch(() => {});
  const { main, deeds } = frame({ title: t("revokedTitle"), kind: "lone" });
  fill(main, h("div", { class: "empty bad", role: "alert" }, icon("warn"), h("p", {}, t("revoked"))));
  deeds(h("button", {
    class: "main", onclick: async () => {
      await forget();
      localStorage.removeItem("enrolled");
      location.replace("/");
    },
  }, t("revokedDo")));
});

// Logged out in another window.
new BroadcastChannel("hoatoc").addEventListener("message", () => location.reload());

const banner = h("p", { id: "offline", role: "status", hidden: true });
document.body.prepend(banner);
/** @type {Set<string>} */
const every = Object.assign(new Set(), { has: () => true });
let stale = false;
events.addEventListener("offline", () => {
  if (!stale) fill(banner, t("offline"));
  banner.hidden = false;
});
events.addEventListener("kept", (event) => {
  stale = true;
  fill(banner, t("offlineKept", { time: dateTime(/** @type {CustomEvent} */ (event).detail) }));
  banner.hidden = false;
});
const back = () => {
  if (banner.hidden) return;
  banner.hidden = true;
  flush().catch(() => {});
  if (stale) {
    changed(every);
    tell("notices");
    tell("meetings");
  }
  stale = false;
};
events.addEventListener("online", back);
window.addEventListener("online", () => flush().catch(() => {}));
listen({ go, list: () => list.split(" ")[0] });
window.addEventListener("hashchange", show);
// A tablet was turned. Only what stands in a tab is drawn otherwise then; all else stays, and what is being entered there with it.
wide.addEventListener("change", () => {
  if (!me || !reads(me)) return;
  const hash = location.hash || "#/";
  if (LISTS[hash] || [...document.querySelectorAll(".tab")].some((one) => one.getAttribute("href") === hash)) return show();
  panes.on = wide.matches;
  aside(hash);
});

speak(language());
dress();
start();

if ("serviceWorker" in navigator) {
  // The one script address that the policy lets through (Trusted Types).
  const policy = /** @type {any} */ (window).trustedTypes?.createPolicy("hoatoc", { createScriptURL: (/** @type {string} */ url) => (url === "/sw.js" ? url : "") });
  const register = () => navigator.serviceWorker.register(policy ? policy.createScriptURL("/sw.js") : "/sw.js", { type: "module" }).catch(() => {});
  // Looking for a newer worker fetches it and all that it draws in: that does not take the line from the first screen.
  if (navigator.serviceWorker.controller) pause(CALM_MS).then(register);
  else register();
  navigator.serviceWorker.addEventListener("message", ({ data }) => {
    if (data.go) go(data.go);
    if (data.changed) changed(new Set([data.changed]));
    if ("changed" in data) tell("notices");
  });
}
