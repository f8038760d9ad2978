/**
 * Page images that come as they are needed and go when they are far: memory follows the screen, not the document. Every place has its
 * size from the manifest before its image is there, so nothing moves. Each image's bytes are checked against the manifest.
 */
import { Offline } from "./api.js";
import { check, imageOf } from "./manifest.js";
import { h, icon } from "./view.js";
import { t } from "./texts.js";

const AT_ONCE = 3;
const MOST_ZOOM = 4;

/**
 * @param {{
 *   manifest: import("./manifest.js").Manifest, scroller: HTMLElement, signal: AbortSignal,
 *   load: (image: import("./manifest.js").PageImage, signal: AbortSignal) => Promise<ArrayBuffer>,
 *   turned: (page: number) => void, failed: (error: unknown) => void, opened?: (image: import("./manifest.js").PageImage) => void,
 * }} given `turned`: another page is in the middle. `failed`: an image did not come, or is not the manifest's. `opened`: it is there, and
 *   half of its page, or its page in the middle, is on the screen.
 */
export function pageList({ manifest, scroller, signal, load, turned, failed, opened }) {
  const zoomer = (/** @type {string} */ name, /** @type {string} */ drawing, /** @type {number} */ factor) =>
    h("button", { class: "round", "aria-label": t(name), onclick: () => zoomTo(zoom * factor) }, icon(drawing));
  const controls = h("div", { class: "zoom" }, zoomer("zoomIn", "plus", 1.5), zoomer("zoomOut", "minus", 1 / 1.5));
  const list = h("div", { class: "pages" });
  /** @type {Map<Element, Place>} */
  const places = new Map();
  /** @type {Set<Place>} */
  const wanted = new Set();
  let running = 0;
  let zoom = 1;
  let current = 1;

  /** @typedef {{page: number, element: HTMLElement, near: boolean, half: boolean, width: number, image: import("./manifest.js").PageImage | null, url: string, abort: AbortController | null}} Place */

  for (let page = 1; page <= manifest.page_count; page++) {
    const { width, height } = imageOf(manifest, page, 720);
    const element = h("div", { class: "page" });
    element.style.aspectRatio = `${width} / ${height}`;
    list.append(element);
    places.set(element, { page, element, near: false, half: false, width: 0, image: null, url: "", abort: null });
  }
  list.append(controls);
  scroller.style.setProperty("--zoom", "1");

  // Without a network the width that is kept stands in for the larger one, until somebody zooms again.
  let best = 1080;
  const wish = () => (scroller.clientWidth * zoom * Math.min(devicePixelRatio, 2) > 900 && (zoom > 1.3 || scroller.clientWidth > 700) ? best : 720);

  const watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const place = /** @type {Place} */ (places.get(target));
      place.near = isIntersecting;
      if (isIntersecting) wanted.add(place);
      else drop(place);
    }
    pump();
  }, { root: scroller, rootMargin: "120% 0px" });
  const middle = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      current = /** @type {Place} */ (places.get(target)).page;
      turned(current);
      tell(/** @type {Place} */ (places.get(target)));
    }
  }, { root: scroller, rootMargin: "-45% 0px -45% 0px" });
  const halves = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const place = /** @type {Place} */ (places.get(target));
      place.half = isIntersecting;
      tell(place);
    }
  }, { root: scroller, threshold: 0.5 });
  for (const element of places.keys()) [watcher, middle, ...(opened ? [halves] : [])].forEach((one) => one.observe(element));
  signal.addEventListener("abort", () => {
    watcher.disconnect();
    middle.disconnect();
    halves.disconnect();
    for (const place of places.values()) drop(place);
  });

  /** @param {Place} place */
  const tell = (place) => {
    if (!place.image || !(place.half || place.page === current)) return;
    opened?.(place.image);
    place.image = null;
  };

  /** @param {Place} place */
  function drop(place) {
    place.image = null;
    wanted.delete(place);
    place.abort?.abort();
    place.abort = null;
    place.width = 0;
    place.element.replaceChildren();
    if (place.url) URL.revokeObjectURL(place.url);
    place.url = "";
  }

  function pump() {
    while (running < AT_ONCE && wanted.size && !signal.aborted) {
      // Nearest to the page in the middle first.
      const next = [...wanted].reduce((best, one) => (Math.abs(one.page - current) < Math.abs(best.page - current) ? one : best));
      wanted.delete(next);
      if (next.width >= wish()) continue;
      running++;
      fetchPage(next).finally(() => {
        running--;
        pump();
      });
    }
  }

  /** @param {Place} place */
  async function fetchPage(place) {
    const abort = (place.abort = new AbortController());
    const image = imageOf(manifest, place.page, wish());
    try {
      const bytes = await load(image, abort.signal);
      await check(bytes, image);
      if (abort.signal.aborted) return;
      const url = URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" }));
      const img = h("img", { src: url, alt: t("docAlt", { n: place.page }), width: image.width, height: image.height, draggable: "false" });
      await img.decode();
      if (abort.signal.aborted) return URL.revokeObjectURL(url);
      place.element.replaceChildren(img);
      if (place.url) URL.revokeObjectURL(place.url);
      place.url = url;
      place.width = image.width;
      place.image = image;
      tell(place);
    } catch (error) {
      if (abort.signal.aborted) return;
      if (image.width > 720 && error instanceof Offline) {
        best = 720;
        wanted.add(place);
      } else failed(error);
    }
  }

  /** Zoom about a point of the scroller. @param {number} value @param {number} x @param {number} y */
  function zoomTo(value, x = scroller.clientWidth / 2, y = scroller.clientHeight / 2) {
    const next = Math.min(MOST_ZOOM, Math.max(1, value));
    const top = list.getBoundingClientRect().top - scroller.getBoundingClientRect().top + scroller.scrollTop;
    const [left, down] = [(scroller.scrollLeft + x) / zoom, (scroller.scrollTop + y - top) / zoom];
    zoom = next;
    best = 1080;
    scroller.style.setProperty("--zoom", String(zoom));
    scroller.scrollTo(left * zoom - x, down * zoom - y + top);
    for (const place of places.values()) if (place.near && place.width && place.width < wish()) wanted.add(place);
    pump();
  }

  // Two fingers: the browser's own zoom would move header and deeds out of reach, so the pages alone grow under them.
  let apart = 0;
  let tapped = 0;
  const span = (/** @type {TouchList} */ { 0: one, 1: two }) => Math.hypot(one.clientX - two.clientX, one.clientY - two.clientY);
  list.addEventListener("touchstart", (event) => {
    if (event.touches.length !== 2) return;
    event.preventDefault();
    apart = span(event.touches) / zoom;
  }, { signal, passive: false });
  list.addEventListener("touchmove", (event) => {
    if (event.touches.length !== 2 || !apart) return;
    event.preventDefault();
    const [one, two] = event.touches;
    const box = scroller.getBoundingClientRect();
    zoomTo(span(event.touches) / apart, (one.clientX + two.clientX) / 2 - box.left, (one.clientY + two.clientY) / 2 - box.top);
  }, { signal, passive: false });
  list.addEventListener("click", (event) => {
    if (controls.contains(/** @type {Node} */ (event.target))) return;
    const again = event.timeStamp - tapped < 320;
    tapped = again ? 0 : event.timeStamp;
    if (!again) return;
    const box = scroller.getBoundingClientRect();
    zoomTo(zoom > 1.1 ? 1 : 2, event.clientX - box.left, event.clientY - box.top);
  }, { signal });

  return {
    element: list,
    /** Ask again for what failed. */
    retry: () => {
      for (const place of places.values()) if (place.near && !place.width) wanted.add(place);
      pump();
    },
  };
}
