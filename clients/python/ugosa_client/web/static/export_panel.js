// @ts-check
/** Beside the lanes: stems and marks as files, and marks from files. */

import { api } from "./api.js";
import { attempt, element, fill, say } from "./dom.js";

/** @typedef {import("./song_screen.js").SongScreen} SongScreen */

const DAWS = [
  ["reaper", "REAPER", "Folder with a REAPER project"],
  ["audacity", "Audacity", "Folder with a list of files for Audacity's File > Open, and labels"],
  ["dawproject", "DAWproject", "Opens in Bitwig Studio, Cubase and Studio One"],
];
const OF_PROJECTS = ["rpp", "ardour", "ableton"]; // written into a project, on the command line

export class ExportPanel {
  /** @param {SongScreen} page */
  constructor(page) {
    this.page = page;
    this.stems = element("ul", { class: "stems" });
    this.format = element("select", { id: "marks-format" });
    for (const { name, title } of page.formats) {
      if (!OF_PROJECTS.includes(name)) this.format.append(element("option", { value: name, selected: name === "audacity" }, title.split(" (")[0]));
    }
    this.file = element("input", { type: "file", hidden: true, onchange: () => this.#read() });
    this.root = element(
      "section",
      { class: "panel" },
      element("h2", {}, "Export"),
      this.stems,
      element("label", { for: "marks-format" }, "Marks as"),
      this.format,
      element(
        "div",
        { class: "row" },
        element("button", { type: "button", onclick: () => this.#write() }, "Save marks"),
        element("button", { type: "button", onclick: () => this.file.click() }, "Read marks…"),
        this.file,
      ),
    );
  }

  /** Show where the stems of the takes are. */
  render() {
    const link = (/** @type {string} */ href, /** @type {string} */ text, /** @type {string} */ label, title = "") =>
      element("a", { class: "download", href, download: "", "aria-label": label, title }, text);
    const rows = this.page.playback.wholeTakes.map(({ name, take }) =>
      element(
        "li",
        {},
        element("span", { class: "stems-of" }, name),
        link(api.zipAddress(take), "zip", `Stems, ${name.toLowerCase()}, as zip`),
        ...DAWS.map(([daw, text, title]) => link(api.projectAddress(take, daw), text, `Stems, ${name.toLowerCase()}, for ${text}`, title)),
      ),
    );
    fill(this.stems, ...(rows.length ? rows : [element("li", { class: "quiet" }, "Stems are here once the song is separated.")]));
  }

  async #read() {
    const [file] = this.file.files;
    this.file.value = "";
    if (file) await this.readMarks(file);
  }

  /** @param {File} file of any format of marks */
  async readMarks(file) {
    const { page } = this;
    const marks = await attempt(() => api.readMarks(page.song.upload_id, file, page.model.name));
    if (!marks) return;
    page.editor.marks.replaceAll(marks);
    say(`Marks of ${file.name}: ${marks.length}; Ctrl Z brings yours back`);
  }

  async #write() {
    const { page } = this;
    const format = page.formats.find(({ name }) => name === this.format.value);
    const blob = await attempt(() => api.writeMarks(page.song.upload_id, [...page.editor.marks.all], this.format.value));
    if (!blob || !format) return;
    const address = URL.createObjectURL(blob);
    element("a", { href: address, download: `${page.song.file_name.replace(/\.[^.]*$/, "")} marks${format.suffix}` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 10000);
  }
}
