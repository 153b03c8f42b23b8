// @ts-check
/** The bar above the lanes: play, takes, loop, zoom, what a drag draws, undo. */

import { clock, element, fill } from "./dom.js";

/** @typedef {import("./song_screen.js").SongScreen} SongScreen */

const INTENTS = [
  ["silent", "Silent", "A drag marks where the source is silent"],
  ["active", "Active", "A drag marks where the source plays (or: hold Shift)"],
  ["only", "Only this", "A drag marks where nothing else plays (or: hold Alt)"],
];

export class Transport {
  /** @param {SongScreen} page */
  constructor(page) {
    this.page = page;
    this.play = element("button", { class: "play", type: "button", onclick: () => page.playback.togglePlay() });
    this.time = element("output", { class: "time", "aria-label": "Position" });
    this.takes = element("div", { class: "segments takes", role: "group", "aria-label": "Take that is heard" });
    const tool = (/** @type {string} */ text, /** @type {string} */ title, /** @type {() => void} */ onclick) =>
      element("button", { class: "tool", type: "button", title, "aria-label": title, onclick }, text);
    this.loop = tool("Loop", "Loop the selected mark, or what is dragged over above the lanes (L)", () => page.playback.toggleLoop());
    this.undo = tool("↶", "Undo (Ctrl Z)", () => page.editor.marks.undo());
    this.redo = tool("↷", "Redo (Ctrl Y)", () => page.editor.marks.redo());
    const intents = element("div", { class: "segments", role: "radiogroup", "aria-label": "What a drag marks" });
    for (const [value, name, title] of INTENTS) {
      const input = element("input", { type: "radio", name: "intent", value, checked: value === "silent", onchange: () => (page.editor.intent = /** @type {any} */ (value)) });
      intents.append(element("label", { title }, input, element("span", {}, name)));
    }
    this.root = element(
      "section",
      { class: "transport", "aria-label": "Transport" },
      this.play,
      this.time,
      this.takes,
      this.loop,
      element("span", { class: "spring" }),
      element("span", { class: "named" }, element("span", { class: "quiet" }, "Drag marks"), intents),
      element(
        "span",
        { class: "tools" },
        this.undo,
        this.redo,
        tool("−", "Zoom out (−)", () => page.zoomStep(-1)),
        tool("+", "Zoom in (+)", () => page.zoomStep(1)),
        tool("?", "Keys (?)", () => page.help()),
      ),
    );
  }

  /** Show what can be done now. */
  render() {
    const { page } = this;
    const { isPlaying } = page.player;
    this.play.setAttribute("aria-label", isPlaying ? "Stop (Space)" : "Play (Space)");
    this.play.title = isPlaying ? "Stop (Space)" : "Play (Space)";
    this.play.classList.toggle("playing", isPlaying);
    this.loop.setAttribute("aria-pressed", String(Boolean(page.player.loop)));
    this.undo.disabled = !page.editor.marks.canUndo;
    this.redo.disabled = !page.editor.marks.canRedo;
    fill(
      this.takes,
      ...page.playback.takes.map((take, index) =>
        element(
          "button",
          { type: "button", "aria-pressed": String(take.key === page.player.take), onclick: () => page.playback.selectTake(take.key) },
          element("kbd", {}, "ABC"[index]),
          ` ${take.name}`,
        ),
      ),
    );
  }

  /** @param {number} frame */
  showPosition(frame) {
    const text = `${clock(frame / this.page.rate)}`;
    if (this.time.textContent !== text) this.time.textContent = text;
  }
}
