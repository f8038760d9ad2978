/**
 * What the screen shows, as canonical bytes: members in declared order, integers, no spaces. The digest of these bytes is what a
 * device signs beside `tbs`; `server/previews/model.py` is the other side, `openapi/vectors/manifest.json` has examples.
 *
 * @typedef {{page: number, width: number, height: number, digest: string, size: number, from_revision: string}} PageImage
 * @typedef {{name: string, state: "filled" | "reserved", page: number, rect: number[]}} FieldArea
 * @typedef {{typ: string, v: 1, page_count: number, images: PageImage[], renderer: string, revision: string, length: number,
 *   parent: string, parent_length: number, prepared: string, tbs: string, hole_start: number, hole_end: number, fields: FieldArea[]}} Manifest
 */
import { fromUtf8, hex, sha256 } from "./codec.js";

/** What arrived is not what its digest names, or is no manifest: nothing of it may be shown or approved. */
export class Differs extends Error {}

const IMAGE = ["page", "width", "height", "digest", "size", "from_revision"];
const FIELD = ["name", "state", "page", "rect"];
/** @type {Record<string, string[]>} */
const KINDS = {
  "hoatoc-revision-manifest": ["typ", "v", "revision", "length", "renderer", "page_count", "images"],
  "hoatoc-prepared-manifest": [
    "typ", "v", "parent", "parent_length", "prepared", "length", "tbs", "hole_start", "hole_end", "fields", "renderer", "page_count", "images",
  ],
};
const DIGESTS = ["revision", "parent", "prepared", "tbs", "digest", "from_revision"];

/** @param {any} value @param {string[]} names */
function pick(value, names) {
  if (Object.keys(value).length !== names.length) throw new Error("members");
  return Object.fromEntries(names.map((name) => {
    const item = value[name];
    if (item === undefined || (DIGESTS.includes(name) && !/^[0-9a-f]{64}$/.test(item))) throw new Error(name);
    if (typeof item === "number" && !Number.isSafeInteger(item)) throw new Error(name);
    return [name, item];
  }));
}

/** The manifest of canonical bytes; throws for anything else. @param {string} text @returns {Manifest} */
export function parse(text) {
  const value = JSON.parse(text);
  const names = KINDS[value.typ];
  if (!names || value.v !== 1) throw new Error("kind or version");
  const manifest = /** @type {any} */ (pick(value, names));
  manifest.images = manifest.images.map((/** @type {any} */ image) => pick(image, IMAGE));
  const keys = manifest.images.map((/** @type {PageImage} */ { page, width }) => page * 65536 + width);
  if (keys.some((/** @type {number} */ key, /** @type {number} */ index) => index && key <= keys[index - 1])) throw new Error("order");
  /** @type {Map<number, number[]>} */
  const pages = new Map();
  for (const { page, width } of manifest.images) {
    const widths = pages.get(page);
    if (widths) widths.push(width);
    else pages.set(page, [width]);
  }
  if (pages.size !== manifest.page_count || !pages.has(1) || !pages.has(manifest.page_count)) throw new Error("pages");
  if (new Set(Array.from(pages.values(), String)).size !== 1) throw new Error("widths");
  if (manifest.fields) {
    manifest.fields = manifest.fields.map((/** @type {any} */ field) => pick(field, FIELD));
    const { parent_length: parent, hole_start: start, hole_end: end, length, fields } = manifest;
    if (!(parent < start && start < end && end < length)) throw new Error("hole");
    if (fields.filter((/** @type {FieldArea} */ field) => field.state === "filled").length !== 1) throw new Error("fields");
    if (new Set(fields.map((/** @type {FieldArea} */ field) => field.name)).size !== fields.length) throw new Error("names");
  }
  if (JSON.stringify(manifest) !== text) throw new Error("not canonical");
  return manifest;
}

/** A manifest as the server sent it, with the digest of exactly these bytes. @param {ArrayBuffer} bytes */
export async function read(bytes) {
  try {
    return { manifest: parse(fromUtf8(bytes)), digest: hex(await sha256(bytes)) };
  } catch (error) {
    throw new Differs(String(error));
  }
}

/** Throws unless the image's bytes are those that the manifest names. @param {ArrayBuffer} bytes @param {PageImage} image */
export async function check(bytes, image) {
  if (hex(await sha256(bytes)) !== image.digest) throw new Differs("image");
}

/** The image of a page in the smallest width that is not below `wanted`. @param {Manifest} manifest @param {number} page @param {number} wanted */
export function imageOf(manifest, page, wanted) {
  const widths = manifest.images.length / manifest.page_count;
  const found = manifest.images.slice((page - 1) * widths, page * widths);
  return found.find((image) => image.width >= wanted) ?? found[found.length - 1];
}
