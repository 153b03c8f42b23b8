// @ts-check
/** The versions of a song: what its jobs made of which marks, and the takes that can be heard of each. */

import { api } from "./api.js";
import { clock } from "./dom.js";
import { keyOf, textOf } from "./marks.js";

/** @typedef {import("./api.js").Job} Job */
/** @typedef {import("./api.js").Mark} Mark */
/** @typedef {import("./player.js").Take} Take */

const NO_ADAPTATION = "B0";
const MAX_CHANGES = 2; // that a line lists

/**
 * @typedef {object} Version
 * @property {string} id of its best job
 * @property {number} number from 1, the oldest
 * @property {Job|null} adapted
 * @property {Job|null} base the same marks, the model as it is
 * @property {Job|null} plain no marks, the model as it is
 * @property {Mark[]} marks
 * @property {string} model
 * @property {string} change what is other than in the version before
 */

/**
 * Whether a job leaves the model as it is.
 * @param {Job} job
 */
export const isBase = (job) => job.options.strategy === NO_ADAPTATION || job.marks.length === 0;

/**
 * Sort a song's jobs into versions, newest first.
 *
 * Each job that adapts is one; so is a base separation that no adaptation goes with.
 * @param {Job[]} jobs newest first
 * @param {number} rate
 * @returns {Version[]}
 */
export function versionsOf(jobs, rate) {
  const live = jobs.filter((job) => !["cancelled", "failed"].includes(job.state));
  const bases = live.filter((job) => isBase(job));
  const sameModel = (/** @type {Job} */ a, /** @type {Job} */ b) => a.options.model === b.options.model;
  const sameMarks = (/** @type {Job} */ a, /** @type {Job} */ b) => sameModel(a, b) && textOf(a.marks) === textOf(b.marks);
  const taken = new Set();
  /** @type {Version[]} */
  const versions = [];
  for (const job of live) {
    if (isBase(job) && (taken.has(job) || live.some((other) => !isBase(other) && sameMarks(job, other)))) continue;
    const base = isBase(job) ? job : (bases.find((other) => sameMarks(job, other)) ?? null);
    for (const other of bases.filter((other) => sameMarks(job, other))) taken.add(other);
    const plain = bases.find((other) => !other.marks.length && sameModel(job, other)) ?? null;
    versions.push({
      id: job.job_id,
      number: 0,
      adapted: isBase(job) ? null : job,
      base: base && base.marks.length ? base : null,
      plain,
      marks: job.marks,
      model: job.options.model,
      change: "",
    });
  }
  versions.forEach((version, index) => {
    version.number = versions.length - index;
    version.change = changeText(versions[index + 1]?.marks ?? [], version.marks, rate);
  });
  return versions;
}

/**
 * The best job of a version that has stems.
 * @param {Version} version
 * @returns {Job|null}
 */
export const bestJob = (version) =>
  [version.adapted, version.base, version.plain].find((job) => job?.state === "succeeded") ?? null;

/**
 * The takes of a version, in the order of their keys A, B, C.
 * @param {Version} version
 * @returns {(Take & {name: string, job: Job})[]}
 */
export function takesOf(version) {
  /** @type {[Job|null, string][]} */
  const named = [
    [version.plain, "Without marks"],
    [version.base, "Under your marks"],
    [version.adapted, "Adapted"],
  ];
  return named.flatMap(([job, name]) => (job?.state === "succeeded" ? [takeOf(job, name)] : []));
}

/**
 * @param {Job} job that succeeded
 * @param {string} name
 * @returns {Take & {name: string, job: Job}}
 */
export function takeOf(job, name) {
  const stems = job.stems.map(({ source }) => ({ source, address: api.stemAddress(job.job_id, source) }));
  return { key: job.job_id, name, job, stems };
}

/**
 * Say what changed from one list of marks to another.
 * @param {Mark[]} before
 * @param {Mark[]} after
 * @param {number} rate
 */
export function changeText(before, after, rate) {
  const [had, has] = [new Set(before.map(keyOf)), new Set(after.map(keyOf))];
  const text = (/** @type {Mark} */ mark) =>
    `${mark.source} ${mark.state === "silent" ? "silent" : "plays"} ${clock(mark.start_frame / rate)}–${clock(mark.end_frame / rate)}`;
  const changes = [
    ...after.filter((mark) => !had.has(keyOf(mark))).map((mark) => `+ ${text(mark)}`),
    ...before.filter((mark) => !has.has(keyOf(mark))).map((mark) => `− ${text(mark)}`),
  ];
  if (!after.length) return "no marks";
  if (!changes.length) return "the same marks";
  const more = changes.length - MAX_CHANGES;
  return changes.slice(0, MAX_CHANGES).join(", ") + (more > 0 ? ` and ${more} more` : "");
}
