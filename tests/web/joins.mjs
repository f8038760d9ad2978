// Reads {modules: {name: text}, files: {name: text}, worker: [text, sent]} and says where a file is not its modules one after the other, by acorn's
// trees and eslint-scope's bindings: the same trees, and every name bound to what it was bound to, in whichever module that stands.
import { readFileSync } from "node:fs";
import { parse } from "acorn";
import { analyze } from "eslint-scope";

const OPTIONS = { ecmaVersion: 2024, sourceType: "module" };
const SKIPPED = ["type", "start", "end", "range", "kind", "shorthand", "raw"];

/** A script's statements, each as its tree in one line with its identifiers beside it: what the name is bound to, or "free name". */
function read(module, text) {
  const tree = parse(text, { ...OPTIONS, ranges: true });
  const owners = new Map();
  const brought = new Map();
  for (const one of tree.body) {
    if (one.type !== "ImportDeclaration") continue;
    const from = one.source.value.replace(/^.*\//, "").replace(/\.js$/, "");
    for (const { local, imported } of one.specifiers) brought.set(local.name, `${from}:${imported?.name ?? "*"}`);
  }
  for (const { variables, type } of analyze(tree, OPTIONS).scopes) {
    for (const { name, identifiers, references, defs } of variables) {
      if (!identifiers.length) continue;
      const outermost = type === "module" || defs[0]?.node.parent?.type === "Program" || tree.body.some((one) => [one, one.declaration].some((it) => it?.id === identifiers[0]));
      const owner = defs[0].type === "ImportBinding" ? brought.get(name) : outermost ? `${module}:${name}` : `${module}@${identifiers[0].start}`;
      for (const node of [...identifiers, ...references.map(({ identifier }) => identifier)]) owners.set(node, owner);
    }
  }
  const statements = [];
  let line;
  let names;
  const name = (owner, said) => {
    line.push("·");
    names.push({ owner, said });
  };
  const opens = (called) => line.push(`open ${called}`);
  const walk = (node) => {
    if (Array.isArray(node)) return node.forEach((one) => (one?.type === "VariableDeclaration" ? walk(one.declarations) : walk(one)));
    if (!node || typeof node !== "object" || node.type === "EmptyStatement") return line.push(String(node?.type ?? node));
    if (node.type === "Identifier") return name(owners.get(node) ?? `free ${node.name}`, node.name);
    if (node.type === "Literal") return line.push(node.raw);
    if (node.type === "ImportExpression") return opens(node.source.value.replace(/^\.\/|\.js$/g, ""));
    if (node.type === "CallExpression" && node.callee.object?.type === "ImportExpression") return opens(node.arguments[0].body.property.name.slice(1));
    if (node.type === "CallExpression" && node.arguments[0]?.name?.startsWith("$")) return opens(node.arguments[0].name.slice(1));
    const [object, property] = [owners.get(node.object), node.property?.name];
    if (node.type === "MemberExpression" && object?.endsWith(":*")) return name(object.replace("*", property), property);
    line.push(node.type);
    for (const [key, value] of Object.entries(node)) {
      if (SKIPPED.includes(key)) continue;
      const plain = !node.computed && (key === "property" || (key === "key" && /^(Property|MethodDefinition|PropertyDefinition)$/.test(node.type)));
      line.push(key);
      if (plain && value.type === "Identifier") line.push(value.name);
      else if (value && typeof value === "object" && !(value instanceof RegExp)) walk(value);
      else line.push(String(value));
    }
    line.push(")");
  };
  const enter = (list) => {
    for (const one of list) {
      if (one.type === "ImportDeclaration" || (one.type === "ExportNamedDeclaration" && (!one.declaration || one.declaration.declarations?.[0].id.name.startsWith("$")))) continue;
      const statement = one.declaration ?? one;
      // What begins the page stands in a block of its own.
      if (statement.type === "IfStatement" && statement.test.property?.name === "document") enter(statement.consequent.body);
      else
        for (const part of statement.declarations ?? [statement]) {
          [line, names] = [[], []];
          walk(part);
          statements.push({ text: line.join(" "), names });
        }
    }
  };
  enter(tree.body);
  return statements;
}

const { modules, files, worker } = JSON.parse(readFileSync(0, "utf8"));
const faults = [];
/** What each binding of the modules is called where other files ask for it. */
const outward = new Map();
const left = new Map(Object.entries(modules).map(([module, text]) => [module, read(module, text)]));
const compare = (path, wanted, found, met) => {
  for (const [at, { owner, said }] of wanted.names.entries()) {
    const other = found.names[at];
    const same = owner.startsWith("free ") ? owner === other.owner : other.owner.startsWith("app:") && path !== "app" ? outward.get(owner) === other.owner.slice(4) : !other.owner.startsWith("free ");
    const known = met.get(owner) ?? other.owner;
    met.set(owner, known);
    if (!same || known !== other.owner) faults.push(`${path}: ${said} became ${other.said}`);
    if (!owner.startsWith("free ") && path === "app") outward.set(owner, other.said);
  }
};
for (const [path, text] of Object.entries({ ...files, worker: worker[1] })) {
  const found = read(path, text);
  const met = new Map();
  const apart = () => new Set(met.values()).size !== met.size && faults.push(`${path}: one name for two`);
  if (path === "worker") left.set("worker", read("worker", worker[0]));
  for (let at = 0; at < found.length; ) {
    const fits = ([module, list]) => (path === "worker") === (module === "worker") && list.every(({ text: line }, place) => line === found[at + place]?.text);
    const [module, list] = [...left].filter(([, one]) => one.length).find(fits) ?? [];
    if (!module) {
      faults.push(`${path}: another tree`);
      break;
    }
    list.forEach((one, place) => compare(path, one, found[at + place], met));
    left.delete(module);
    at += list.length;
  }
  apart();
}
for (const [module, list] of left) if (list.length) faults.push(`${module}: is not there`);
console.log(JSON.stringify(faults));
