// Parts of the client that need no browser, run by Node: prints as JSON what came of one part, which the first argument names.
const path = "../../server/web/static/js/";
globalThis.matchMedia = () => ({ addEventListener() {} });
const view = await import(`${path}view.js`);

const parts = {
  /** Where notices lead: [kind, document, about] each. */
  place: (rows) => rows.map(([kind, document, about]) => view.place({ kind, document, about }) ?? null),
};

const [name, given] = process.argv.slice(2);
console.log(JSON.stringify(await parts[name](JSON.parse(given))));
