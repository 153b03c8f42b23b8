// @ts-check
/** The keys of a song's page, as users of a DAW expect them. */

import { element } from "./dom.js";

/** @typedef {import("./song_screen.js").SongScreen} SongScreen */

/**
 * Each key with its meaning; the names of keys are those of KeyboardEvent.
 * @type {{keys: string[], shown: string, means: string, does: (page: SongScreen, key: string, event: KeyboardEvent) => void}[]}
 */
export const KEYS = [
  { keys: [" "], shown: "Space", means: "play, stop", does: ({ playback }) => playback.togglePlay() },
  { keys: ["Home"], shown: "Home", means: "to the start", does: ({ player }) => player.seek(0) },
  { keys: ["a", "b", "c"], shown: "A B C", means: "hear that take", does: ({ playback }, key) => playback.hearTake(key) },
  {
    keys: ["1", "2", "3", "4", "5", "6", "7", "8", "9"],
    shown: "1 … 9",
    means: "choose a lane",
    does: ({ editor, model }, key) => Number(key) <= model.sources.length && editor.choose(model.sources[Number(key) - 1]),
  },
  { keys: ["s"], shown: "S", means: "solo the lane", does: ({ playback, editor }) => playback.solo(editor.source) },
  { keys: ["m"], shown: "M", means: "mute the lane", does: ({ playback, editor }) => playback.mute(editor.source) },
  { keys: ["i"], shown: "I", means: "mark from here", does: ({ editor }) => editor.markIn() },
  {
    keys: ["o"],
    shown: "O",
    means: "mark to here (Shift: active, Alt: only this)",
    does: ({ editor }, key, event) => editor.markOut(event),
  },
  { keys: ["[", "]"], shown: "[ ]", means: "mark before, after", does: ({ editor }, key) => editor.selectNext(key === "]" ? 1 : -1) },
  {
    keys: ["ArrowLeft", "ArrowRight"],
    shown: "← →",
    means: "move the mark 10 ms (Shift: 100; Alt: its end); without one, go 1 s",
    does: ({ editor }, key, event) => editor.nudge(key === "ArrowRight" ? 1 : -1, event),
  },
  { keys: ["t"], shown: "T", means: "silent mark to active and back", does: ({ editor }) => editor.toggleState() },
  { keys: ["Delete", "Backspace"], shown: "Del", means: "remove the mark", does: ({ editor }) => editor.remove() },
  { keys: ["Enter"], shown: "Enter", means: "accept the suggestion", does: ({ editor }) => editor.accept() },
  { keys: ["l"], shown: "L", means: "loop the mark; again: no loop", does: ({ playback }) => playback.toggleLoop() },
  { keys: ["z"], shown: "Z", means: "zoom to the mark, and out", does: (page) => page.toggleZoom() },
  { keys: ["+", "=", "-"], shown: "+ −", means: "zoom in, out", does: (page, key) => page.zoomStep(key === "-" ? -1 : 1) },
  { keys: ["r"], shown: "R", means: "separate", does: (page) => void page.separate() },
  { keys: ["Escape"], shown: "Esc", means: "let go of the mark", does: ({ editor }) => editor.select(null) },
  { keys: ["?"], shown: "?", means: "this list", does: (page) => page.help() },
];

/**
 * Let keys act on a page, except while something is typed or chosen from a list.
 * @param {SongScreen} page
 * @returns {() => void} ends it
 */
export function followKeys(page) {
  let isTabbed = true; // whether the focus came by the keyboard
  const onPointer = () => (isTabbed = false);
  /** @param {KeyboardEvent} event */
  const onKey = (event) => {
    if (event.key === "Tab") isTabbed = true;
    const target = /** @type {HTMLElement} */ (event.composedPath()[0]);
    if (target.closest?.("input:not([type=radio]), select, textarea, dialog[open]")) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const withControl = event.ctrlKey || event.metaKey;
    if (withControl && (key === "z" || key === "y")) {
      event.preventDefault();
      if (key === "y" || event.shiftKey) page.editor.marks.redo();
      else page.editor.marks.undo();
      return;
    }
    if (withControl) return;
    // Alt and letters make other characters on some keyboards.
    const plain = event.altKey && event.code.startsWith("Key") ? event.code.slice(3).toLowerCase() : key;
    const found = KEYS.find(({ keys }) => keys.includes(plain));
    if (!found) return;
    const isButton = target.closest?.("button, a, [role=button], summary");
    const isMark = target.getRootNode() !== document;
    if (isButton && !isMark && (plain === " " || plain === "Enter")) {
      if (isTabbed) return; // it presses the button
      target.blur(); // it was clicked before: a key is not to press it again
    }
    event.preventDefault();
    found.does(page, plain, event);
  };
  document.addEventListener("keydown", onKey);
  document.addEventListener("pointerdown", onPointer, true);
  return () => {
    document.removeEventListener("keydown", onKey);
    document.removeEventListener("pointerdown", onPointer, true);
  };
}

/** Make the list of keys. */
export function keysList() {
  const more = [
    { shown: "Ctrl Z, Ctrl Y", means: "undo, redo" },
    { shown: "drag on a lane", means: "mark silence (Shift: active, Alt: only this)" },
    { shown: "drag on times", means: "loop (a click goes there)" },
    { shown: "Ctrl wheel", means: "zoom" },
  ];
  const rows = [...KEYS, ...more].map(({ shown, means }) =>
    element("div", {}, element("dt", {}, element("kbd", {}, shown)), element("dd", {}, means)),
  );
  return element("dl", { class: "keys" }, ...rows);
}
