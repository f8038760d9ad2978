// Draws openapi.json. Text only ever enters the page as text.
const make = (name, text, cls) => { const e = document.createElement(name); if (text) e.textContent = text; if (cls) e.className = cls; return e };
// What stands between backticks is code.
const prose = (name, text, cls) => {
  const e = make(name, '', cls);
  text.split('`').forEach((part, n) => e.append(n % 2 ? make('code', part) : document.createTextNode(part)));
  return e;
};
const list = document.getElementById('list');
const count = document.getElementById('count');
const spec = await (await fetch('/api/openapi.json')).json();
const DEEP = 4;

const resolve = (schema) => {
  let at = schema;
  for (let n = 0; at.$ref && n < 8; n += 1) at = at.$ref.slice(2).split('/').reduce((found, key) => found[key], spec);
  return at;
};
const choices = (schema) => (schema.oneOf || schema.anyOf || [schema]);

const kind = (raw) => {
  const schema = resolve(raw);
  if (schema.oneOf || schema.anyOf) return choices(schema).map(kind).join(' | ');
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(' | ');
  if (schema.type === 'array') return `[${kind(schema.items || {})}]`;
  if (schema.format === 'binary') return 'file';
  return [schema.type].flat().join(' | ') || 'any';
};

const bounds = (raw) => {
  const s = resolve(raw);
  const found = [];
  const span = (low, high, unit) => { if (low !== undefined || high !== undefined) found.push(`${low ?? ''}…${high ?? ''}${unit}`) };
  span(s.minLength, s.maxLength, ' ký tự · characters');
  span(s.minimum ?? s.exclusiveMinimum, s.maximum ?? s.exclusiveMaximum, '');
  span(s.minItems, s.maxItems, ' mục · items');
  if (s.pattern) found.push(s.pattern);
  if (s.format && s.format !== 'binary') found.push(s.format);
  if (s.default !== undefined && s.default !== null) found.push(`= ${JSON.stringify(s.default)}`);
  return found.join('  ');
};

// The object whose members are worth listing: the schema itself, what an array holds, or what a text holds.
const inner = (raw) => {
  const schema = resolve(raw);
  const one = choices(schema).map(resolve).find((each) => each.properties || each.items || each.contentSchema) || schema;
  if (one.contentSchema) return inner(one.contentSchema);
  return one.type === 'array' && one.items ? inner(one.items) : one;
};

const member = (name, raw, must, depth) => {
  const schema = resolve(raw);
  const li = make('li');
  li.append(make('code', name, must ? 'must' : ''), make('span', `  ${kind(raw)}`, 'dim'));
  const limits = bounds(raw);
  if (limits) li.append(document.createTextNode('  '), make('code', limits, 'dim'));
  const text = raw.description || schema.description;
  if (text) li.append(prose('div', text, 'dim'));
  const below = inner(raw);
  if (below.properties && depth < DEEP) li.append(members(below, depth + 1));
  return li;
};
const members = (schema, depth = 0) => {
  const ul = make('ul');
  const must = new Set(schema.required || []);
  for (const [name, each] of Object.entries(schema.properties || {})) ul.append(member(name, each, must.has(name), depth));
  return ul;
};

const body = (title, content) => {
  const parts = [];
  for (const [type, media] of Object.entries(content || {})) {
    const head = make('h3', title); head.append(make('span', `  ${type}`)); parts.push(head);
    const schema = media.schema || {};
    const below = inner(schema);
    if (below.description) parts.push(prose('p', below.description, 'dim'));
    if (below.properties) { if (resolve(schema).type === 'array') parts.push(make('p', 'Danh sách · a list of', 'dim')); parts.push(members(below)) }
    else parts.push(make('p', kind(schema), 'dim'));
    if (media.example !== undefined) parts.push(make('pre', JSON.stringify(media.example, null, 1)));
  }
  return parts;
};

const who = (op) => {
  const said = [];
  if (op['x-roles']) said.push(`người có vai trò · people: ${op['x-roles'].join(', ')} (DPoP)`);
  if (op['x-scopes']) said.push(`hệ thống · services: ${op['x-scopes'].join(', ')}`);
  return said.length ? said.join('; ') : 'công khai · public';
};

const problems = (op) => {
  const ul = make('ul');
  for (const code of op['x-problems'] || []) {
    const row = spec['x-problem-types'][code];
    const li = make('li'); const link = make('a', code); link.href = `/problems/${code}`;
    li.append(make('code', String(row.status)), document.createTextNode(' '), link, make('div', `${row.title_vi} · ${row.title_en}${row.retry ? ' ↻' : ''}`, 'dim'));
    ul.append(li);
  }
  return ul;
};

const inside = (op, told) => {
  const box = make('div', '', 'inside');
  if (op.description) box.append(prose('p', op.description));
  if (!told) { const p = make('p', 'Ai được gọi · who may call: ', 'dim'); p.append(document.createTextNode(who(op))); box.append(p) }
  const parameters = (op.parameters || []).map((one) => [`${one.name}  (${one.in})`, { description: one.description, ...one.schema }, one.required]);
  if (parameters.length) { const ul = make('ul'); for (const one of parameters) ul.append(member(...one, DEEP)); box.append(make('h3', 'Tham số · parameters'), ul) }
  box.append(...body('Gửi · request', op.requestBody?.content));
  for (const [status, answer] of Object.entries(op.responses)) {
    if (status.endsWith('XX') && !told) continue;
    const parts = body(`Nhận · response ${status}`, answer.content);
    box.append(...(parts.length ? parts : [make('h3', `Nhận · response ${status}`), make('p', answer.description, 'dim')]));
  }
  if (!told && op['x-problems']?.length) {
    const d = make('details'); d.append(make('summary', `Lỗi · problems (${op['x-problems'].length})`), problems(op)); d.firstChild.className = 'plain'; box.append(d);
  }
  return box;
};

const groups = new Map();
const add = (path, method, op, told) => {
  const tag = (op.tags || []).find((one) => one !== 'phone') || 'other';
  if (!groups.has(tag)) groups.set(tag, []);
  groups.get(tag).push({ path, method: method.toUpperCase(), op, told });
};
for (const [path, item] of Object.entries(spec.paths)) for (const [method, op] of Object.entries(item)) add(path, method, op, false);
for (const [name, item] of Object.entries(spec.webhooks || {})) for (const [method, op] of Object.entries(item)) add(`→ ${name}`, method, op, true);

const draw = (needle) => {
  list.replaceChildren();
  let shown = 0;
  for (const tag of [...groups.keys()].sort()) {
    const rows = groups.get(tag).filter(({ path, op }) => `${tag} ${path} ${op.summary} ${op.operationId} ${op.description || ''}`.toLowerCase().includes(needle));
    if (!rows.length) continue;
    shown += rows.length;
    const section = make('section'); section.append(make('h2', tag));
    for (const { path, method, op, told } of rows) {
      const d = make('details'), s = make('summary'); d.id = op.operationId;
      s.append(make('span', method, `method ${method}`), make('b', op.summary || ''), make('code', path.replaceAll('/', '\u200b/')));
      d.append(s);
      // What is inside is drawn when it is opened: the whole would be thousands of elements.
      d.addEventListener('toggle', () => { if (d.open && d.children.length === 1) d.append(inside(op, told)) });
      section.append(d);
    }
    list.append(section);
  }
  count.textContent = `${shown} thao tác · operations`;
};
draw('');
const named = location.hash && document.getElementById(location.hash.slice(1));
if (named) { named.open = true; named.scrollIntoView() }
document.getElementById('find').addEventListener('input', (e) => draw(e.target.value.trim().toLowerCase()));
