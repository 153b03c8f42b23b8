// @ts-check
/** Start of the page: which screen the address asks for, and files that are dropped on it. */

import { api, placeOf } from "./api.js";
import { attempt, element } from "./dom.js";
import { keysList } from "./keys.js";
import { SongScreen } from "./song_screen.js";
import { SongsScreen } from "./songs_screen.js";

const root = /** @type {HTMLElement} */ (document.getElementById("page"));
const AUDIO = /\.(wav|wave|flac|aiff?|mp3|ogg|oga|opus|m4a|mp4)$/i;

/** @type {SongScreen|SongsScreen|undefined} */
let screen;
let visit = 0;

async function show() {
  visit += 1;
  const mine = visit;
  const match = /^#song=(.+)$/.exec(location.hash);
  const made = await attempt(async () => {
    if (!match) {
      const songs = await api.songs();
      return () => new SongsScreen(root, songs);
    }
    const id = decodeURIComponent(match[1]);
    const [song, { models, marks_formats: formats }] = await Promise.all([api.song(id), api.models()]);
    if (screen instanceof SongScreen) await screen.editor.saved; // it may be this song's
    const notes = await api.notes(id);
    return () => new SongScreen(root, song, notes, models, formats);
  });
  if (mine !== visit) return;
  if (!made) {
    if (match) location.hash = "";
    else if (!screen) showNothing();
    return;
  }
  screen?.close();
  screen = made();
  document.title = screen instanceof SongScreen ? `${screen.song.file_name} · UGOSA` : "UGOSA";
  /** @type {any} */ (window).ugosa = screen;
}

/** Say that there is nothing to show yet; the reason stands in a toast. */
function showNothing() {
  const again = element("button", { type: "button", onclick: () => void show() }, "Try again");
  root.replaceChildren(element("div", { class: "first" }, element("h1", {}, "UGOSA"), element("p", { class: "lead" }, "The server does not answer."), again));
}

/** @param {DragEvent} event */
function dropped(event) {
  event.preventDefault();
  document.body.classList.remove("dropping");
  const file = event.dataTransfer?.files[0];
  if (!file) return;
  if (screen instanceof SongScreen && !AUDIO.test(file.name)) {
    void screen.exports.readMarks(file);
    return;
  }
  if (screen instanceof SongsScreen) {
    void screen.open(file);
    return;
  }
  void attempt(async () => {
    const song = await api.addSong(file, () => {});
    if (location.hash === placeOf(song)) await show(); // its own page: now the mix can be heard
    else location.hash = placeOf(song);
  });
}

document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dropping");
});
document.addEventListener("drop", dropped);
window.addEventListener("hashchange", () => void show());
const help = /** @type {HTMLDialogElement} */ (document.getElementById("help"));
help.append(element("h2", { tabIndex: -1, autofocus: true }, "Keys"), keysList(), element("form", { method: "dialog" }, element("button", { class: "primary" }, "Close")));
void show();
