// @ts-check
/** The keys of a song's page, as users of a DAW expect them. */

import { element } from "./dom.js";

/**
 * Each key with its meaning. `does` names a method of the song's page; the names of keys are those of KeyboardEvent.
 * @type {{keys: string[], shown: string, means: string, does: string, argument?: any}[]}
 */
export const KEYS = [
  { keys: [" "], shown: "Space", means: "play, stop", does: "togglePlay" },
  { keys: ["Home"], shown: "Home", means: "to the start", does: "seekStart" },
  { keys: ["a", "b", "c"], shown: "A B C", means: "hear that take", does: "hearTake" },
  { keys: ["1", "2", "3", "4", "5", "6", "7", "8", "9"], shown: "1 … 9", means: "choose a lane", does: "chooseLane" },
  { keys: ["s"], shown: "S", means: "solo the lane", does: "soloLane" },
  { keys: ["m"], shown: "M", means: "mute the lane", does: "muteLane" },
  { keys: ["i"], shown: "I", means: "mark from here", does: "markIn" },
  { keys: ["o"], shown: "O", means: "mark to here (Shift: active, Alt: only this)", does: "markOut" },
  { keys: ["[", "]"], shown: "[ ]", means: "mark before, after", does: "nextMark" },
  { keys: ["ArrowLeft", "ArrowRight"], shown: "← →", means: "move the mark by 10 ms (Shift: 100 ms); without one, go 1 s", does: "nudge" },
  { keys: ["t"], shown: "T", means: "silent mark to active and back", does: "toggleState" },
  { keys: ["Delete", "Backspace"], shown: "Del", means: "remove the mark", does: "removeMark" },
  { keys: ["Enter"], shown: "Enter", means: "accept the suggestion", does: "accept" },
  { keys: ["l"], shown: "L", means: "loop the mark; again: no loop", does: "toggleLoop" },
  { keys: ["z"], shown: "Z", means: "zoom to the mark, and out", does: "toggleZoom" },
  { keys: ["+", "=", "-"], shown: "+ −", means: "zoom in, out", does: "zoomStep" },
  { keys: ["r"], shown: "R", means: "separate", does: "separate" },
  { keys: ["Escape"], shown: "Esc", means: "let go of the mark", does: "deselect" },
  { keys: ["?"], shown: "?", means: "this list", does: "help" },
];

/**
 * Let keys call a page's methods, except while something is typed or chosen from a list.
 * @param {any} page
 * @returns {() => void} ends it
 */
export function followKeys(page) {
  /** @param {KeyboardEvent} event */
  const onKey = (event) => {
    const target = /** @type {HTMLElement} */ (event.composedPath()[0]);
    if (target.closest?.("input:not([type=radio]), select, textarea, dialog[open]")) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const withControl = event.ctrlKey || event.metaKey;
    if (withControl && (key === "z" || key === "y")) {
      event.preventDefault();
      page[key === "y" || event.shiftKey ? "redo" : "undo"]();
      return;
    }
    if (withControl) return;
    // Alt and letters make other characters on some keyboards.
    const plain = event.altKey && event.code.startsWith("Key") ? event.code.slice(3).toLowerCase() : key;
    const found = KEYS.find(({ keys }) => keys.includes(plain));
    if (!found) return;
    const isButton = target.closest?.("button, a, [role=button], summary");
    const isMark = target.getRootNode() !== document;
    if (isButton && !isMark && (plain === " " || plain === "Enter")) return; // it presses the button
    event.preventDefault();
    page[found.does](plain, event);
  };
  document.addEventListener("keydown", onKey);
  return () => document.removeEventListener("keydown", onKey);
}

/** Make the list of keys. */
export function keysList() {
  const rows = KEYS.map(({ shown, means }) =>
    element("tr", {}, element("th", { scope: "row" }, element("kbd", {}, shown)), element("td", {}, means)),
  );
  const more = [
    ["Ctrl Z, Ctrl Y", "undo, redo"],
    ["drag on a lane", "mark what is silent (Shift: active, Alt: only this plays)"],
    ["Ctrl wheel", "zoom"],
  ].map(([shown, means]) => element("tr", {}, element("th", { scope: "row" }, element("kbd", {}, shown)), element("td", {}, means)));
  return element("table", { class: "keys" }, element("tbody", {}, ...rows, ...more));
}
