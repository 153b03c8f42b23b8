// @ts-check
/** Below the lanes: the versions of the song, to hear, compare and keep. */

import { api } from "./api.js";
import { element, fill } from "./dom.js";
import { bestJob } from "./versions.js";

/** @typedef {import("./song_screen.js").SongScreen} SongScreen */
/** @typedef {import("./versions.js").Version} Version */

const COLUMNS = ["Keep", "Version", "Marks changed", "Verdict", "Compare", "Take"];

export class VersionsPanel {
  /** @param {SongScreen} page */
  constructor(page) {
    this.page = page;
    this.list = element("tbody");
    this.root = element(
      "section",
      { class: "panel versions", hidden: true },
      element("h2", {}, "Versions"),
      element(
        "table",
        {},
        element("thead", {}, element("tr", {}, ...COLUMNS.map((title) => element("th", { scope: "col" }, title)))),
        this.list,
      ),
    );
  }

  render() {
    const { versions } = this.page.playback;
    this.root.hidden = !versions.length;
    fill(this.list, ...versions.map((version) => this.#row(version)));
  }

  /** @param {Version} version */
  #row(version) {
    const { page } = this;
    const job = bestJob(version);
    const isStarred = page.editor.starred === version.id;
    const time = new Date((version.adapted ?? version.base ?? version.plain)?.create_time ?? 0);
    const name = `Version ${version.number}`;
    const isHeard = page.playback.version?.id === version.id;
    return element(
      "tr",
      { "aria-current": isHeard ? "true" : undefined },
      element("td", {}, element("button", { type: "button", class: "star", "aria-pressed": String(isStarred), "aria-label": `Keep ${name} in mind`, onclick: () => page.star(version.id) }, isStarred ? "★" : "☆")),
      element(
        "th",
        { scope: "row" },
        element("button", { type: "button", class: "link", disabled: !job, onclick: () => page.playback.hear(version) }, name),
        element("span", { class: "quiet" }, ` ${time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })} · ${version.model}`),
      ),
      element("td", {}, version.change),
      element("td", {}, this.#verdictText(version)),
      element(
        "td",
        {},
        element("input", {
          type: "checkbox",
          "aria-label": `Compare ${name} with the one that is heard`,
          checked: page.playback.other?.id === version.id,
          disabled: isHeard || !job || !page.playback.version,
          onchange: (/** @type {Event} */ event) =>
            page.playback.version && page.playback.hear(page.playback.version, /** @type {HTMLInputElement} */ (event.target).checked ? version : null),
        }),
      ),
      element(
        "td",
        {},
        element("button", { type: "button", class: "small", onclick: () => page.useMarks(version) }, "Use marks"),
        job ? element("a", { class: "download", href: api.zipAddress(job.job_id), download: "", "aria-label": `Stems of ${name} as zip` }, "zip") : null,
      ),
    );
  }

  /** @param {Version} version */
  #verdictText(version) {
    const { adapted } = version;
    const job = bestJob(version);
    if (!adapted) return version.base ? "under its marks" : job ? "the model as it is" : "is being made";
    if (adapted.state !== "succeeded") return "is being made";
    const outcome = adapted.verdict?.outcome;
    return { helped: "helped", "did not": "did not help; model kept", "cannot tell": "adapted, too little to judge" }[outcome ?? ""] ?? "adapted";
  }
}
