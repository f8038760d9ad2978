// Reads [{path, source, sent, table}] and says what else differs than the numbers of texts, by acorn's trees; eslint-scope knows which
// calls are those of `t`. `table`: this script has the texts.
import { readFileSync } from "node:fs";
import { parse } from "acorn";
import { analyze } from "eslint-scope";

const OPTIONS = { ecmaVersion: 2024, sourceType: "module" };

/** What a call asks for: its first argument, or each that a condition chooses from. */
const choices = (node) => (node?.type === "ConditionalExpression" ? [...choices(node.consequent), ...choices(node.alternate)] : [node]);

/** The tree, and its literals with whether `t` is asked for them. */
function read(text, table) {
  const tree = parse(text, { ...OPTIONS, ranges: true });
  const first = tree.body.find(({ type }) => type === "VariableDeclaration")?.declarations[0].init;
  const shape = [];
  const calls = [];
  const walk = (node) => {
    if (!node || typeof node !== "object" || (table && node === first)) return;
    if (Array.isArray(node)) return node.forEach(walk);
    if (node.type === "CallExpression" && node.callee.name === "t") calls.push(node);
    if (node.type === "Literal" || node.type === "TemplateLiteral") shape.push({ node, value: node.value ?? node.quasis?.[0].value.raw });
    else shape.push(node.type);
    for (const [key, value] of Object.entries(node)) {
      if (["start", "end", "range", "regex"].includes(key) || node.type === "Literal") continue;
      shape.push(key);
      if (value && typeof value === "object") walk(value);
      else shape.push(String(value));
    }
    shape.push(")");
  };
  walk(tree);
  const brought = new Set();
  for (const { variables } of analyze(tree, OPTIONS).scopes) {
    for (const { references, defs } of variables) {
      if (table || defs[0]?.type === "ImportBinding") for (const { identifier } of references) brought.add(identifier);
    }
  }
  const asked = new Set(calls.filter(({ callee }) => brought.has(callee)).flatMap((call) => choices(call.arguments[0])));
  return { shape, asked, first, literals: shape.filter((one) => one?.node) };
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
  // Whatever is still called by its name, or might be, is there under it.
  for (const { node, value } of texts ? is.literals : []) {
    const meant = is.asked.has(node) && node.type === "TemplateLiteral" ? known.filter((name) => name.startsWith(value)) : known.filter((name) => name === value);
    for (const name of meant) if (told(name) !== tells(name)) faults.push(`${path}: nothing is said for ${name}`);
  }
}
console.log(JSON.stringify(faults));
