// Recomputes the manifest vectors as a phone does: parse, check, encode in the declared order, hash. Run: node openapi/vectors/manifest.mjs
import { readFile } from "node:fs/promises";
const { subtle } = globalThis.crypto;

const IMAGE = ["page", "width", "height", "digest", "size", "from_revision"];
const FIELD = ["name", "state", "page", "rect"];
const KINDS = {
  "hoatoc-revision-manifest": ["typ", "v", "revision", "length", "renderer", "page_count", "images"],
  "hoatoc-prepared-manifest": [
    "typ", "v", "parent", "parent_length", "prepared", "length", "tbs", "hole_start", "hole_end", "fields", "renderer", "page_count", "images",
  ],
};
const DIGESTS = ["revision", "parent", "prepared", "tbs", "digest", "from_revision"];

function pick(value, names) {
  if (Object.keys(value).length !== names.length) throw new Error("members");
  return Object.fromEntries(names.map((name) => {
    if (!(name in value)) throw new Error(`no ${name}`);
    const item = value[name];
    if (DIGESTS.includes(name) && !/^[0-9a-f]{64}$/.test(item)) throw new Error(name);
    if (typeof item === "number" && !Number.isSafeInteger(item)) throw new Error(name);
    return [name, item];
  }));
}

/** The manifest of canonical bytes; throws for anything else. */
export function parse(text) {
  const value = JSON.parse(text);
  const names = KINDS[value.typ];
  if (!names || value.v !== 1) throw new Error("kind or version");
  const manifest = pick(value, names);
  manifest.images = manifest.images.map((image) => pick(image, IMAGE));
  const keys = manifest.images.map(({ page, width }) => page * 65536 + width);
  if (keys.some((key, index) => index && key <= keys[index - 1])) throw new Error("order");
  const pages = new Map();
  for (const { page, width } of manifest.images) pages.set(page, [...(pages.get(page) ?? []), width]);
  if (pages.size !== manifest.page_count || !pages.has(1) || !pages.has(manifest.page_count)) throw new Error("pages");
  if (new Set([...pages.values()].map(String)).size !== 1) throw new Error("widths");
  if (manifest.fields) {
    manifest.fields = manifest.fields.map((field) => pick(field, FIELD));
    const { parent_length: parent, hole_start: start, hole_end: end, length, fields } = manifest;
    if (!(parent < start && start < end && end < length)) throw new Error("hole");
    if (fields.filter((field) => field.state === "filled").length !== 1) throw new Error("fields");
    if (new Set(fields.map((field) => field.name)).size !== fields.length) throw new Error("names");
  }
  if (JSON.stringify(manifest) !== text) throw new Error("not canonical");
  return manifest;
}

const { cases } = JSON.parse(await readFile(new URL("manifest.json", import.meta.url), "utf8"));
let wrong = 0;
for (const { name, valid, bytes, digest } of cases) {
  let outcome;
  try {
    const body = new TextEncoder().encode(JSON.stringify(parse(bytes)));
    outcome = Buffer.from(await subtle.digest("SHA-256", body)).toString("hex") === digest;
  } catch {
    outcome = false;
  }
  if (outcome !== valid) {
    wrong += 1;
    console.error(`wrong: ${name}`);
  }
}
if (!cases.length || wrong) process.exit(1);
console.log(`${cases.length} manifest vectors agree`);
