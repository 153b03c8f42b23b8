// @ts-check
/** Elements of the page, made of plain properties and children; text is never markup. */

/**
 * Make an element. `on...` are listeners, `class`, `aria-...`, `data-...` and the like attributes, others properties.
 * @param {string} tag
 * @param {Record<string, any>} [properties]
 * @param {...(Node|string|null|undefined|false)} children
 * @returns {any}
 */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "class" || name.includes("-") || name === "role" || name === "for") made.setAttribute(name, value);
    else if (name === "colour") made.style.setProperty("--colour", value);
    else /** @type {any} */ (made)[name] = value;
  }
  made.append(.../** @type {(Node|string)[]} */ (children.filter((child) => child || child === "")));
  return made;
}

/**
 * Put children in place of all that a node has; the focus stays at its place among them.
 * @param {Element} node
 * @param {...(Node|string|null|undefined|false)} children
 */
export function fill(node, ...children) {
  const controls = () => [.../** @type {NodeListOf<HTMLElement>} */ (node.querySelectorAll("button, a, input"))];
  const focused = controls().findIndex((control) => control === document.activeElement);
  node.replaceChildren(.../** @type {(Node|string)[]} */ (children.filter(Boolean)));
  if (focused >= 0) controls()[focused]?.focus({ preventScroll: true }); // the keyboard goes on where it was
}

/**
 * Write a time in a song: 1:02.5, with as many decimals as are asked for.
 * @param {number} seconds
 * @param {number} [decimals]
 */
export function clock(seconds, decimals = 1) {
  const unit = 10 ** decimals;
  const total = Math.round(seconds * unit);
  const minutes = Math.floor(total / (60 * unit));
  const rest = ((total - minutes * 60 * unit) / unit).toFixed(decimals);
  return `${minutes}:${rest.padStart(decimals ? decimals + 3 : 2, "0")}`;
}

/**
 * Write how long something lasts, for people.
 * @param {number} seconds
 */
export function duration(seconds) {
  if (seconds < 1) return "less than a second";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

/**
 * Draw figures as a line, from 0 before the first one.
 * @param {number[]} figures
 * @param {string} label what they are
 */
export function line(figures, label) {
  const all = [0, ...figures];
  const [low, high] = [Math.min(...all), Math.max(...all, 0.1)];
  const points = all.map((figure, n) => `${(100 * n) / figures.length},${(20 * (high - figure)) / (high - low)}`);
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const drawn = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  for (const [name, value] of Object.entries({ viewBox: "0 -1 100 22", preserveAspectRatio: "none", role: "img", "aria-label": label })) svg.setAttribute(name, value);
  drawn.setAttribute("points", points.join(" "));
  svg.append(drawn);
  return svg;
}

/** @type {number|undefined} */
let toastTimer;

/**
 * Say something in a few words, at the lower edge of the page.
 * @param {string} text
 * @param {boolean} [isError]
 */
export function say(text, isError = false) {
  const toast = /** @type {HTMLElement} */ (document.getElementById("toast"));
  toast.textContent = text;
  toast.className = isError ? "shown bad" : "shown";
  clearTimeout(toastTimer);
  toastTimer = window.setTimeout(() => (toast.className = ""), isError ? Math.max(12000, 90 * text.length) : 4000); // as long as it is read
}

/**
 * Take back what was said, unless something else has been said since.
 * @param {string} text
 */
export function unsay(text) {
  const toast = /** @type {HTMLElement} */ (document.getElementById("toast"));
  if (toast.textContent === text) toast.className = "";
}

/**
 * Run something that may be refused, and say why if it is.
 * @template T
 * @param {() => Promise<T>} work
 * @returns {Promise<T|undefined>}
 */
export async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    say(error instanceof Error ? error.message : String(error), true);
    return undefined;
  }
}
