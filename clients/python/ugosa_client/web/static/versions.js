// @ts-check
/** Takes of the versions of a song, as the player takes them. */

import { api } from "./api.js";

/** @typedef {import("./api.js").Job} Job */
/** @typedef {import("./api.js").Version} Version */
/** @typedef {import("./player.js").Take & {name: string, take: import("./api.js").Take, span?: {start: number, end: number}}} NamedTake
 *   with the stretch in which it differs from another take, if that is not the whole song */

/**
 * Whether a job leaves the model as it is.
 * @param {Job} job
 */
export const isBase = (job) => job.options.strategy === "B0" || job.marks.length === 0;

/**
 * The takes of a version, in the order of their keys A, B, C; the last is the best.
 * @param {Version} version
 * @returns {NamedTake[]}
 */
export const takesOf = ({ takes }) =>
  takes.map((take) => ({
    key: `${take.job_id} ${take.is_base}`,
    name: take.name,
    take,
    stems: take.sources.map((source) => ({ source, address: api.stemAddress(take, source) })),
  }));
