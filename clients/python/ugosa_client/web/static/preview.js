// @ts-check
/** What a job has learned so far, to be heard while it learns: one stretch of the song. */

import { api } from "./api.js";

/** @typedef {import("./song_screen.js").SongScreen} SongScreen */
/** @typedef {import("./versions.js").NamedTake} NamedTake */
/** @typedef {{job_id: string, step: number, start: number, end: number}} Preview with the frames of its stretch */

const LENGTH_S = 10;
const MIN_S = 4; // what a network needs around it
const MAX_S = 14; // the server takes 15, and both ends are moved to whole seconds
const LEAD_IN_S = 3; // before a mark, where its source may sound

/**
 * The stretch that one would listen to now: the loop, the selected mark, or what is in view from the playhead on.
 * @param {SongScreen} page
 * @returns {{start: number, end: number}} in frames; whole seconds are frames of every model's rate, too
 */
export function previewStretch({ player, editor, lanes, rate, frames }) {
  const { loop, position } = player;
  const { selected } = editor;
  const { visible } = lanes;
  const from = position >= visible.start && position < visible.end ? position : visible.start;
  const first = loop?.start ?? (selected ? selected.start_frame - LEAD_IN_S * rate : from);
  const wanted = loop ? loop.end - loop.start : LENGTH_S * rate;
  const length = Math.min(Math.max(wanted, MIN_S * rate), MAX_S * rate);
  const begin = Math.max(0, Math.min(first, frames - length));
  const [start, end] = [Math.floor(begin / rate) * rate, Math.ceil((begin + length) / rate) * rate];
  return { start, end: Math.min(end, frames) };
}

/**
 * The take of a preview: stems that are there already, and in its stretch what is learned so far.
 * @param {NamedTake} whole
 * @param {Preview} preview
 * @returns {NamedTake}
 */
export const previewTake = (whole, { job_id, step, start, end }) => ({
  ...whole,
  key: `${job_id} preview`,
  name: "So far",
  span: { start, end },
  stems: whole.stems.map((stem) => ({ ...stem, part: { address: api.previewAddress(job_id, stem.source, step), start, end } })),
});
