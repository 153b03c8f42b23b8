// @ts-check
/** The marks of a song: spans of frames in each source that never overlap, with undo and redo. */

/** @typedef {import("./api.js").Mark} Mark */

const MAX_UNDO = 500;

/**
 * Whether two marks are the same.
 * @param {Mark|null|undefined} one
 * @param {Mark|null|undefined} other
 */
export function isSame(one, other) {
  return Boolean(one && other) && keyOf(/** @type {Mark} */ (one)) === keyOf(/** @type {Mark} */ (other));
}

/**
 * A text that only this mark has.
 * @param {Mark} mark
 */
export const keyOf = (mark) => `${mark.source} ${mark.state} ${mark.start_frame} ${mark.end_frame}`;

/**
 * Marks in the order of sources and time, as one text.
 * @param {Mark[]} marks
 */
export const textOf = (marks) => marks.map(keyOf).sort().join("\n");

/**
 * Add a mark to others: what they say of its span in its source gives way, and neighbours of its state join it.
 * @param {Mark[]} marks
 * @param {Mark} added
 * @returns {Mark[]}
 */
export function withMark(marks, added) {
  let { start_frame: start, end_frame: end } = added;
  const kept = [];
  for (const mark of marks) {
    const apart = mark.source !== added.source || mark.end_frame < start || mark.start_frame > end;
    if (apart) {
      kept.push(mark);
    } else if (mark.state === added.state) {
      start = Math.min(start, mark.start_frame);
      end = Math.max(end, mark.end_frame);
    } else {
      if (mark.start_frame < added.start_frame) kept.push({ ...mark, end_frame: added.start_frame });
      if (mark.end_frame > added.end_frame) kept.push({ ...mark, start_frame: added.end_frame });
    }
  }
  kept.push({ ...added, start_frame: start, end_frame: end });
  return sorted(kept);
}

/** @param {Mark[]} marks */
const sorted = (marks) =>
  [...marks].sort((a, b) => a.start_frame - b.start_frame || a.source.localeCompare(b.source));

/** Marks that change step by step; each step can be undone. */
export class MarkList {
  /** @type {Mark[]} */ #marks;
  /** @type {Mark[][]} */ #before = [];
  /** @type {Mark[][]} */ #after = [];
  /** @type {() => void} */ #onChange;
  #frames;

  /**
   * @param {Mark[]} marks
   * @param {number} frames of the song
   * @param {() => void} onChange
   */
  constructor(marks, frames, onChange) {
    this.#marks = marks.reduce(withMark, /** @type {Mark[]} */ ([]));
    this.#frames = frames;
    this.#onChange = onChange;
  }

  /** @returns {readonly Mark[]} in the order of time */
  get all() {
    return this.#marks;
  }

  get canUndo() {
    return this.#before.length > 0;
  }

  get canRedo() {
    return this.#after.length > 0;
  }

  /**
   * Add marks as one step.
   * @param {Mark[]} marks
   */
  add(marks) {
    this.#set(marks.map((mark) => this.#within(mark)).reduce(withMark, this.#marks));
  }

  /** @param {Mark} mark */
  remove(mark) {
    this.#set(this.#marks.filter((other) => !isSame(mark, other)));
  }

  /**
   * Put another mark in the place of one, as one step.
   * @param {Mark} mark
   * @param {Mark} changed
   * @returns {Mark} the changed one, within the song
   */
  replace(mark, changed) {
    const within = this.#within(changed);
    this.#set(withMark(this.#marks.filter((other) => !isSame(mark, other)), within));
    return within;
  }

  /**
   * Put other marks in the place of all, as one step.
   * @param {Mark[]} marks
   */
  replaceAll(marks) {
    this.#set(marks.map((mark) => this.#within(mark)).reduce(withMark, /** @type {Mark[]} */ ([])));
  }

  undo() {
    const marks = this.#before.pop();
    if (!marks) return;
    this.#after.push(this.#marks);
    this.#marks = marks;
    this.#onChange();
  }

  redo() {
    const marks = this.#after.pop();
    if (!marks) return;
    this.#before.push(this.#marks);
    this.#marks = marks;
    this.#onChange();
  }

  /** @param {Mark[]} marks */
  #set(marks) {
    if (textOf(marks) === textOf(this.#marks)) return;
    this.#before.push(this.#marks);
    if (this.#before.length > MAX_UNDO) this.#before.shift();
    this.#after = [];
    this.#marks = marks;
    this.#onChange();
  }

  /**
   * @param {Mark} mark
   * @returns {Mark} within the song, of one frame at least
   */
  #within({ source, state, start_frame, end_frame }) {
    const start = Math.min(Math.max(0, Math.round(start_frame)), this.#frames - 1);
    const end = Math.min(Math.max(start + 1, Math.round(end_frame)), this.#frames);
    return { source, state, start_frame: start, end_frame: end };
  }
}
