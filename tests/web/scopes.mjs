// Reads [{path, source, sent}] and says what else differs than the names of private bindings, by acorn's trees and eslint-scope's bindings.
import { readFileSync } from "node:fs";
import { parse } from "acorn";
import { analyze } from "eslint-scope";

const OPTIONS = { ecmaVersion: 2024, sourceType: "module" };

/** The tree without names; and every identifier in order: the place of its first declaration, and whether it must keep its name. */
function read(text) {
  const tree = parse(text, { ...OPTIONS, ranges: true });
  const shape = [];
  const found = new Set();
  const outward = new Set();
  const walk = (node) => {
    if (!node || typeof node !== "object") return;
    if (Array.isArray(node)) return node.forEach(walk);
    if (node.type === "Identifier") found.add(node);
    if (node.type === "ImportSpecifier") outward.add(node.imported);
    if (node.type === "ExportNamedDeclaration") for (const one of node.declaration?.declarations ?? [node.declaration]) outward.add(one?.id);
    shape.push(node.type);
    for (const [key, value] of Object.entries(node)) {
      if (["start", "end", "range", "regex"].includes(key) || (node.type === "Identifier" && key === "name")) continue;
      shape.push(key);
      if (value && typeof value === "object" && !(value instanceof RegExp)) walk(value);
      else if (!(node.type === "Literal" && key === "raw")) shape.push(String(value));
    }
    shape.push(")");
  };
  walk(tree);
  const all = [...found].sort((one, two) => one.start - two.start);
  const places = new Map(all.map((node, place) => [node, place]));
  const owners = new Map();
  for (const { variables } of analyze(tree, OPTIONS).scopes) {
    for (const { identifiers, references } of variables) {
      for (const node of [...identifiers, ...references.map(({ identifier }) => identifier)]) owners.set(node, places.get(identifiers[0]));
    }
  }
  return { shape: shape.join(" "), names: all.map((node) => ({ name: node.name, owner: owners.get(node), fixed: owners.get(node) === undefined || outward.has(node) })) };
}

const faults = [];
for (const { path, source, sent } of JSON.parse(readFileSync(0, "utf8"))) {
  const [was, is] = [read(source), read(sent)];
  if (was.shape !== is.shape) faults.push(`${path}: another tree`);
  for (const [place, { name, owner, fixed }] of was.names.entries()) {
    const other = is.names[place];
    if (owner !== other?.owner || fixed !== other.fixed || (fixed && name !== other.name)) faults.push(`${path}: ${name} became ${other?.name}`);
  }
}
console.log(JSON.stringify(faults));
