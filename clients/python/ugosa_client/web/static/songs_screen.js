// @ts-check
/** The first page: drop a song, or choose one that was here before. */

import { api, placeOf } from "./api.js";
import { attempt, clock, element, fill } from "./dom.js";

/** @typedef {import("./api.js").Song} Song */

const KINDS = "WAV, FLAC, AIFF, MP3, OGG or M4A";

export class SongsScreen {
  /**
   * @param {HTMLElement} root
   * @param {Song[]} songs
   */
  constructor(root, songs) {
    this.input = element("input", { type: "file", accept: "audio/*,.flac,.wav,.aif,.aiff,.mp3,.ogg,.m4a", hidden: true, onchange: () => this.#chosen() });
    this.state = element("p", { class: "quiet", "aria-live": "polite" }, KINDS);
    const drop = element(
      "button",
      { class: "drop", type: "button", onclick: () => this.input.click() },
      element("strong", {}, "Drop a song here"),
      element("span", {}, "or click to choose one"),
    );
    const list = element("ul", { class: "songs" });
    fill(
      list,
      ...songs.map((song) =>
        element(
          "li",
          {},
          element(
            "a",
            { href: placeOf(song) },
            element("span", { class: "song-name" }, song.file_name || "a song"),
            element("span", { class: "quiet" }, `${clock(song.audio.frames / song.audio.sample_rate_hz, 0)} · ${song.audio.encoding}`),
          ),
        ),
      ),
    );
    root.replaceChildren(
      element(
        "div",
        { class: "first" },
        element("h1", {}, "UGOSA"),
        element("p", { class: "lead" }, "Mark where an instrument is silent; hear its stem get cleaner. Stems always add up to the song."),
        drop,
        this.input,
        this.state,
        songs.length ? element("h2", {}, "Recent songs") : null,
        list,
      ),
    );
  }

  close() {}

  #chosen() {
    const [file] = this.input.files;
    this.input.value = "";
    if (file) void this.open(file);
  }

  /**
   * Send a song and go to its page.
   * @param {File} file
   */
  async open(file) {
    this.state.textContent = `sending ${file.name}`;
    const song = await attempt(() =>
      api.addSong(file, (share) => {
        this.state.textContent = share < 1 ? `sending ${file.name}: ${Math.round(100 * share)} %` : `the server reads ${file.name}`;
      }),
    );
    if (song) location.hash = placeOf(song);
    else this.state.textContent = KINDS;
  }
}
