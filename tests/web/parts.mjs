// Parts of the client that need no browser, run by Node: prints as JSON what came of one part, which the first argument names.
const path = "../../server/web/static/js/";
globalThis.matchMedia = () => ({ addEventListener() {} });
globalThis.Node = class extends EventTarget {
  classList = { add() {}, remove() {} };
  append() {}
  replaceChildren() {}
  setAttribute() {}
};
globalThis.document = Object.assign(new EventTarget(), { createElement: () => new Node(), getElementById: () => new Node() });
const view = await import(`${path}view.js`);
const { Offline, Problem, tell } = await import(`${path}api.js`);
const { dates } = await import(`${path}rules.js`);
const { live, sender } = await import(`${path}meetings.js`);

const parts = {
  dates: (texts) => texts.map(dates),
  /** What a screen that is asked for again and again draws, and what ends it. */
  async live() {
    const drawn = [];
    const answers = [1, new Offline(), new Problem(503, {}), new Problem(429, {}), 2, new Problem(404, {})];
    const ask = async () => {
      const answer = answers.shift();
      setTimeout(() => tell("notices"));
      if (answer instanceof Error) throw answer;
      return answer;
    };
    const left = new AbortController();
    const ended = await live(left.signal, ask, (found) => drawn.push(found)).catch((error) => error.status);
    const first = await live(left.signal, () => Promise.reject(new Offline()), drawn.push).catch((error) => error instanceof Offline);
    return [drawn, ended, first];
  },
  /** How often something was sent, after each tap. */
  async sender() {
    const sent = [];
    let count = 0;
    let answer = () => {};
    let ready = true;
    const button = sender("", "", () => { count++; return new Promise((resolve) => (answer = resolve)); }, undefined, () => ready);
    const tap = async () => {
      button.dispatchEvent(new Event("click"));
      await new Promise((resolve) => setTimeout(resolve));
      sent.push(count);
    };
    document.activeElement = document.body = button;
    button.focus = () => { ready = false; };
    await tap();
    await tap();
    answer();
    await tap();
    return [sent, ready];
  },
  /** Where notices lead: [kind, document, about] each. */
  place: (rows) => rows.map(([kind, document, about]) => view.place({ kind, document, about }) ?? null),
};

const [name, given] = process.argv.slice(2);
console.log(JSON.stringify(await parts[name](JSON.parse(given))));
process.exit();
