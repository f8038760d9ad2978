// Reads [{path, source, sent, table}] and says what else differs than the names of private bindings and the numbers of texts, by acorn's
// trees and eslint-scope's bindings. `table`: this script has the texts.
import { readFileSync } from "node:fs";
import { parse } from "acorn";
import { analyze } from "eslint-scope";

const OPTIONS = { ecmaVersion: 2024, sourceType: "module" };

/** What a call asks for: its first argument, or each that a condition chooses from. */
const choices = (node) => (node?.type === "ConditionalExpression" ? [...choices(node.consequent), ...choices(node.alternate)] : [node]);

/** The tree without names; literals with whether `t` is asked for them; and every identifier in order: the place of its first declaration, and whether it must keep its name. */
function read(text, table) {
  const tree = parse(text, { ...OPTIONS, ranges: true });
  const first = tree.body.find(({ type }) => type === "VariableDeclaration")?.declarations[0].init;
  const shape = [];
  const found = new Set();
  const outward = new Set();
  const calls = [];
  const walk = (node) => {
    if (!node || typeof node !== "object" || (table && node === first)) return;
    if (Array.isArray(node)) return node.forEach(walk);
    if (node.type === "Identifier") found.add(node);
    if (node.type === "ImportSpecifier") outward.add(node.imported);
    if (node.type === "ExportNamedDeclaration") for (const one of node.declaration?.declarations ?? [node.declaration]) outward.add(one?.id);
    if (node.type === "CallExpression" && node.callee.name === "t") calls.push(node);
    if (node.type === "Literal" || node.type === "TemplateLiteral") shape.push({ node, value: node.value ?? node.quasis?.[0].value.raw });
    else shape.push(node.type);
    for (const [key, value] of Object.entries(node)) {
      if (["start", "end", "range", "regex"].includes(key) || (node.type === "Identifier" && key === "name") || node.type === "Literal") continue;
      shape.push(key);
      if (value && typeof value === "object") walk(value);
      else shape.push(String(value));
    }
    shape.push(")");
  };
  walk(tree);
  const all = [...found].sort((one, two) => one.start - two.start);
  const places = new Map(all.map((node, place) => [node, place]));
  const owners = new Map();
  const brought = new Set();
  for (const { variables } of analyze(tree, OPTIONS).scopes) {
    for (const { identifiers, references, defs } of variables) {
      for (const node of [...identifiers, ...references.map(({ identifier }) => identifier)]) owners.set(node, places.get(identifiers[0]));
      if (table || defs[0]?.type === "ImportBinding") for (const { identifier } of references) brought.add(identifier);
    }
  }
  const asked = new Set(calls.filter(({ callee }) => brought.has(callee)).flatMap((call) => choices(call.arguments[0])));
  const names = all.map((node) => ({ name: node.name, owner: owners.get(node), fixed: owners.get(node) === undefined || outward.has(node) }));
  return { shape, names, asked, first, literals: shape.filter((one) => one?.node) };
}

/** What both languages say for a name or a number. */
function speaker(text) {
  const { t, inWorker } = new Function(`${text.replace(/^import[^;]*;/gm, "").replace(/\bexport /g, "")}\nreturn { t, inWorker };`)();
  return (name) => JSON.stringify(["vi", "en"].map((language) => (inWorker(language), t(name))));
}

const faults = [];
const pairs = JSON.parse(readFileSync(0, "utf8"));
const texts = pairs.find(({ table }) => table);
const [told, tells] = texts ? [speaker(texts.source), speaker(texts.sent)] : [];
const known = texts ? read(texts.source, true).first.properties.map(({ key }) => key.name ?? key.value) : [];
for (const { path, source, sent, table } of pairs) {
  const [was, is] = [read(source, table), read(sent, table)];
  const numbered = (one, other) =>
    texts && was.asked.has(one.node) && typeof one.value === "string" && typeof other.value === "number" && known.includes(one.value) && told(one.value) === tells(other.value);
  const differs = (one, other) => (one?.node && other?.node ? String(one.value) !== String(other.value) && !numbered(one, other) : one !== other);
  if (was.shape.length !== is.shape.length || was.shape.some((one, place) => differs(one, is.shape[place]))) faults.push(`${path}: another tree`);
  for (const [place, { name, owner, fixed }] of was.names.entries()) {
    const other = is.names[place];
    if (owner !== other?.owner || fixed !== other.fixed || (fixed && name !== other.name)) faults.push(`${path}: ${name} became ${other?.name}`);
  }
  // Whatever is still called by its name, or might be, is there under it.
  for (const { node, value } of texts ? is.literals : []) {
    const meant = is.asked.has(node) && node.type === "TemplateLiteral" ? known.filter((name) => name.startsWith(value)) : known.filter((name) => name === value);
    for (const name of meant) if (told(name) !== tells(name)) faults.push(`${path}: nothing is said for ${name}`);
  }
}
console.log(JSON.stringify(faults));
