/**
 * Every call to the server: access token with a DPoP proof, refresh rotation, problem documents as errors.
 *
 * @import * as Api from "../../../../openapi/types.d.ts"
 */
import { random } from "./codec.js";
import { dpop, signJws } from "./jose.js";
import * as offline from "./offline.js";
import * as store from "./store.js";
import { language } from "./texts.js";

/** What the server refused, as its problem document says (RFC 9457). */
export class Problem extends Error {
  /** @param {number} status @param {any} body */
  constructor(status, body) {
    super(body.title ?? String(status));
    this.status = status;
    /** @type {string} */
    this.code = body.code ?? "internal";
    this.body = body;
  }
}

/** No answer came: whether the server did anything is not known. */
export class Offline extends Error {}

/** Fires `online`, `offline` (what calls meet, not what the radio says), `kept` (a copy is shown; its time), `revoked`, and `notices` and `meetings` when they have changed. */
export const events = new EventTarget();
/** @param {string} name */
export const tell = (name) => events.dispatchEvent(new Event(name));

let answered = false; // whether the server was heard since this window began

let skew = 0; // the server's clock minus ours, milliseconds
/** @returns {number} Milliseconds by the server's clock, as far as a refusal has taught it. */
export const now = () => Date.now() + skew;

/** @type {store.Device | undefined} */
let device;
/** @type {store.Tokens | undefined} */
let tokens;

/** @returns {Promise<store.Device | undefined>} */
export const self = async () => (device ??= await store.get("device"));

/** @param {store.Device} value */
export async function keep(value) {
  await store.put("device", value);
  device = value;
}

/** Another window, or the worker, may have changed what is stored. */
export function again() {
  device = tokens = undefined;
}

export async function forget() {
  await offline.wipe();
  await store.clear();
  device = tokens = undefined;
}

/** @param {number} ms */
export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** One request, without a second try. @param {string} method @param {string} path @param {string | undefined} token @param {any} options */
async function send(method, path, token, { json, form, headers = {}, jti, signal, open }) {
  const me = /** @type {store.Device} */ (await self());
  const url = new URL(path, location.origin);
  const proof = await dpop(me.session, { method, url: url.origin + url.pathname, token, now: now() / 1000, jti });
  /** @type {Record<string, string>} */
  const all = { DPoP: proof, "Accept-Language": language(), ...headers };
  if (token) all.Authorization = `DPoP ${token}`;
  if (json !== undefined) all["Content-Type"] = "application/json";
  try {
    const answer = await fetch(url, {
      method, headers: all, body: form ?? (json === undefined ? undefined : JSON.stringify(json)), signal,
      credentials: "omit", redirect: "error", cache: "no-store",
    });
    if (answer.ok) {
      answered = true;
      const body = open ? /** @type {any} */ (answer) : answer.status === 204 ? new ArrayBuffer(0) : await answer.arrayBuffer();
      tell("online");
      return body;
    }
    const problem = new Problem(answer.status, await answer.json().catch(() => ({})));
    tell("online");
    throw problem;
  } catch (error) {
    if (error instanceof Problem || signal?.aborted) throw error;
    tell("offline");
    throw new Offline("no answer");
  }
}

/** @param {string} method @param {string} path @param {string | undefined} token @param {any} options */
async function timed(method, path, token, options) {
  try {
    return await send(method, path, token, options);
  } catch (error) {
    // A phone whose clock is wrong learns the right one from the refusal.
    if (!(error instanceof Problem && error.code === "proof-invalid" && error.body.server_time)) throw error;
    skew = Date.parse(error.body.server_time) - Date.now();
    return send(method, path, token, options);
  }
}

const decode = (/** @type {ArrayBuffer} */ body) => (body.byteLength ? JSON.parse(new TextDecoder().decode(body)) : null);

/** @param {any} answer @returns {Promise<store.Tokens>} */
async function taken(answer) {
  tokens = { access: answer.access_token, refresh: answer.refresh_token, ends: Date.now() + answer.expires_in * 1000 };
  await store.put("tokens", tokens);
  return tokens;
}

/** @param {{label: string}} given @returns {Promise<void>} Redeem the pairing code that the device row holds. */
export async function pair({ label }) {
  const me = /** @type {store.Device} */ (await self());
  const json = { code: me.code, session_jwk: me.session.jwk, approval_jwk: me.approval.jwk, label, platform: "web" };
  const answer = decode(await timed("POST", "/api/v1/pairings/redeem", undefined, { json }));
  await taken(answer.tokens);
  await keep({ ...me, code: "", device: answer.device.id });
}

/** Start a session again with the approval key: the jti of the proof makes the statement single use. */
export async function resume() {
  const me = /** @type {store.Device} */ (await self());
  const jti = random(16);
  const statement = { v: 1, device: me.device, session_key: me.session.print, jti };
  const json = { statement: await signJws(statement, "hoatoc-session+jws", me.approval.key, me.approval.print) };
  try {
    return await taken(decode(await timed("POST", "/api/v1/sessions", undefined, { json, jti })).tokens);
  } catch (error) {
    if (error instanceof Problem && error.code === "authentication-required") tell("revoked");
    throw error;
  }
}

/** @param {string} [spent] The access token that was refused. One refresh at a time over all windows. @returns {Promise<store.Tokens>} */
const fresh = async (spent) => navigator.locks.request("hoatoc-tokens", async () => {
  const known = /** @type {store.Tokens | undefined} */ (await store.get("tokens"));
  if (known && known.access !== spent && known.ends > Date.now() + 30_000) return (tokens = known);
  // Logged out in another window: only the person begins again.
  if (/** @type {store.Device | undefined} */ (await store.get("device"))?.closed) throw new Offline("logged out");
  if (!known) return resume();
  try {
    const json = { grant_type: "refresh_token", refresh_token: known.refresh };
    return await taken(decode(await timed("POST", "/api/v1/oauth/token", undefined, { json })));
  } catch (error) {
    if (error instanceof Problem && error.code === "refresh-invalid") return resume();
    throw error;
  }
});

/** @param {string} method @param {string} path @param {any} options */
async function authorised(method, path, options) {
  if (!tokens || tokens.ends < Date.now() + 30_000) tokens = await fresh();
  try {
    return await timed(method, path, tokens.access, options);
  } catch (error) {
    if (!(error instanceof Problem && error.code === "authentication-required")) throw error;
    tokens = await fresh(tokens.access);
    return timed(method, path, tokens.access, options);
  }
}

/** Where this window's stream stands. */
let last = "";
/**
 * Hear what is new until the server, the network or `ending` ends it. Gives whether anything came: some networks hold streams back. Nothing, where it cannot be told.
 * @param {AbortController} ending @param {(name: string) => void} hear
 */
export async function listen(ending, hear) {
  const { signal } = ending;
  /** @type {boolean | undefined} */
  let heard;
  let rest = "";
  let timer = setTimeout(() => {
    heard = false;
    ending.abort();
  }, 10_000);
  try {
    const answer = await authorised("GET", "/api/v1/live", { headers: last ? { "Last-Event-ID": last } : {}, signal, open: true });
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let part; !(part = await reader.read()).done; ) {
      heard = true;
      clearTimeout(timer);
      timer = setTimeout(() => ending.abort(), 40_000);
      const blocks = (rest + part.value).split("\n\n");
      rest = blocks.pop() ?? "";
      for (const block of blocks) {
        const [, id, name] = /^id: (.*)\nevent: (.*)/.exec(block) ?? [];
        if (!name) continue;
        last = id;
        hear(name);
      }
    }
  } catch (error) {
    if (error instanceof Problem) heard = false;
  }
  clearTimeout(timer);
  return heard;
}

/**
 * The body of an answer. What may safely be repeated is tried three times. Throws `Problem` or `Offline`.
 * @param {string} method @param {string} path @param {{json?: unknown, form?: FormData, signal?: AbortSignal, tries?: number, kept?: boolean}} [options] `kept`: a copy
 *   stays for reading without a network. What a revision's path names never changes, so its copy is as good as the answer.
 * @returns {Promise<ArrayBuffer>}
 */
export async function call(method, path, { kept, ...options } = {}) {
  if (!kept) return repeated(method, path, options);
  const fixed = path.includes("/revisions/");
  const copy = async () => offline.kept(path).catch(() => undefined);
  const early = fixed && (await copy());
  if (early) return early.body;
  try {
    const body = await repeated(method, path, navigator.onLine ? options : { tries: 1, ...options });
    offline.keep(path, body.slice(0)).catch(() => {});
    return body;
  } catch (error) {
    const found = error instanceof Offline && !fixed && (await copy());
    if (!found) throw error;
    events.dispatchEvent(new CustomEvent("kept", { detail: found.at }));
    return found.body;
  }
}

/** @param {string} method @param {string} path @param {any} options @returns {Promise<ArrayBuffer>} */
async function repeated(method, path, { tries = method === "GET" ? 3 : 1, ...options }) {
  const headers = method === "POST" ? { "Idempotency-Key": random(18) } : {};
  for (let attempt = 1; ; attempt++) {
    try {
      return await authorised(method, path, { headers, ...options });
    } catch (error) {
      const again = error instanceof Offline || (error instanceof Problem && error.code === "busy");
      if (!again || attempt >= tries) throw error;
      await pause(300 * 3 ** (attempt - 1) * (0.7 + Math.random() * 0.6));
    }
  }
}

/**
 * The answer of a path of the API, typed by the server's own description of it.
 * @template {Api.PathOf<"GET">} Path @param {Path} path @param {{signal?: AbortSignal, kept?: boolean}} [options]
 * @returns {Promise<Api.AnswerOf<"GET", Path>>}
 */
export const read = async (path, options) => decode(await call("GET", path, options));
/**
 * Every row of a list that comes in pages, or `most` at least. @param {"/api/v1/people" | "/api/v1/grants" | "/api/v1/escalations"} path
 * @param {AbortSignal} signal @param {number} [most] @returns {Promise<any[]>}
 */
export async function every(path, signal, most = Infinity) {
  const rows = [];
  for (let cursor = "", first = true; first || (cursor && rows.length < most); first = false) {
    const page = decode(await call("GET", `${path}?limit=${Math.min(most, 200)}${cursor && `&cursor=${encodeURIComponent(cursor)}`}`, { signal }));
    rows.push(...page.items);
    cursor = page.next_cursor ?? page.next ?? "";
  }
  return rows;
}
/**
 * What was kept of a path, to be drawn until the first answer of the server since the start; the caller asks the server as well.
 * @template {Api.PathOf<"GET">} Path @param {Path} path @returns {Promise<Api.AnswerOf<"GET", Path> | undefined>}
 */
export async function meanwhile(path) {
  if (answered) return;
  const found = await offline.kept(path).catch(() => undefined);
  return found && !answered ? decode(found.body) : undefined;
}
/**
 * @template {Api.PathOf<"POST">} Path @param {Path} path @param {Api.BodyOf<"POST", Path>} [json]
 * @param {{tries?: number}} [options] @returns {Promise<Api.AnswerOf<"POST", Path>>}
 */
export const post = async (path, json, options) => decode(await call("POST", path, { json, ...options }));

/** Send what waits, each once, by one window or worker at a time. Gives whether nothing waits any more. @returns {Promise<boolean>} */
export const flush = () => navigator.locks.request("hoatoc-queue", async () => {
  for (const { name, path, json } of await offline.queued()) {
    try {
      await call("POST", path, { json, tries: 2 });
    } catch (error) {
      // What the server refuses for good is not sent again.
      if (!(error instanceof Problem) || error.status >= 500 || [401, 429].includes(error.status)) return false;
    }
    await offline.sent(name);
  }
  return true;
});

/** A POST that changes nothing when repeated: now, else as soon as there is a network. @param {string} name @param {string} path @param {unknown} [json] */
export async function later(name, path, json) {
  await offline.queue(name, { path, json });
  if (await flush()) return true;
  /** @type {any} */
  const here = /** @type {any} */ (globalThis).registration ?? (await navigator.serviceWorker?.getRegistration());
  here?.sync?.register("queue").catch(() => {});
  return false;
}

/** Ends here, whatever the network says: what was kept goes, and every window shows it. Without a network the server's session ends by its time. */
export async function logOut() {
  await flush();
  if (!tokens || tokens.ends < Date.now() + 30_000) tokens = await fresh().catch(() => undefined);
  await navigator.locks.request("hoatoc-tokens", async () => {
    if (tokens) await timed("DELETE", "/api/v1/sessions/current", tokens.access, {}).catch(() => {});
    await keep({ .../** @type {store.Device} */ (await self()), closed: true });
    await store.put("tokens", undefined);
  });
  tokens = undefined;
  new BroadcastChannel("hoatoc").postMessage("closed");
  await offline.wipe();
  await store.put("place", undefined);
}
