// @ts-check
/** Below the lanes: the versions of the song, to hear, compare and keep. */

import { api } from "./api.js";
import { element, fill } from "./dom.js";
import { isBase } from "./versions.js";

/** @typedef {import("./song_screen.js").SongScreen} SongScreen */
/** @typedef {import("./api.js").Version} Version */

const MAX_CHANGES = 2; // that a line names
const COLUMNS = ["Keep", "Version", "Changed", "Verdict", "Compare", "Take"];

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
    const { playback } = page;
    const { job, number } = version;
    const name = `Version ${number}`;
    const isHeard = playback.version?.job.job_id === job.job_id;
    const best = version.takes.at(-1);
    const made = new Date(job.create_time).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
    const compare = (/** @type {Event} */ event) => {
      const isChosen = /** @type {HTMLInputElement} */ (event.target).checked;
      if (playback.version) playback.hear(playback.version, isChosen ? version : null);
    };
    return element(
      "tr",
      { "aria-current": isHeard ? "true" : undefined },
      element(
        "td",
        {},
        element(
          "button",
          {
            type: "button",
            class: "star",
            title: "Keep it at the server until you delete it",
            "aria-pressed": String(job.starred),
            "aria-label": `Keep ${name}`,
            disabled: job.state !== "succeeded",
            onclick: () => page.star(version),
          },
          job.starred ? "★" : "☆",
        ),
      ),
      element(
        "th",
        { scope: "row" },
        element("button", { type: "button", class: "link", disabled: !best, onclick: () => playback.hear(version) }, name),
        element("div", { class: "quiet" }, `${made} · ${job.options.model}`),
      ),
      element(
        "td",
        { title: changes(version).join("\n") },
        changeText(version),
        version.started_from ? element("div", { class: "quiet" }, `went on from version ${version.started_from}`) : null,
      ),
      element("td", {}, verdictText(version)),
      element(
        "td",
        {},
        element("input", {
          type: "checkbox",
          "aria-label": `Compare ${name} with the one that is heard`,
          checked: playback.other?.job.job_id === job.job_id,
          disabled: isHeard || !best || !playback.version,
          onchange: compare,
        }),
      ),
      element(
        "td",
        {},
        element("button", { type: "button", class: "small", "aria-label": `Use marks of ${name}`, onclick: () => page.useMarks(version) }, "Use marks"),
        element(
          "a",
          { class: "download", href: best ? api.zipAddress(best) : "", download: "", "aria-label": `Stems of ${name} as zip`, hidden: !best },
          "zip",
        ),
      ),
    );
  }
}

/** @param {Version} version */
const changes = ({ marks_changed: marks, options_changed: options }) => [...marks, ...options];

/** @param {Version} version */
function changeText(version) {
  const all = changes(version);
  if (!all.length) return version.job.marks.length ? "the same marks" : "no marks";
  const more = all.length - MAX_CHANGES;
  return all.slice(0, MAX_CHANGES).join(", ") + (more > 0 ? ` and ${more} more` : "");
}

/** @param {Version} version */
function verdictText({ job, takes }) {
  if (job.state !== "succeeded") return "in the making";
  if (!takes.length) return "stems no longer kept";
  if (isBase(job)) return job.marks.length ? "under its marks" : "the model as it is";
  const outcome = job.verdict?.outcome;
  return { helped: "helped", "did not": "did not help; model kept", "cannot tell": "adapted, too little to judge" }[outcome ?? ""] ?? "adapted";
}
