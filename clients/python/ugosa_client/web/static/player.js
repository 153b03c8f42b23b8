// @ts-check
/**
 * Several versions of a song at once, on the clock of one AudioContext.
 *
 * Every stem of every take always runs; a take, a solo or a mute is a matter of gain, so nothing shifts by a sample.
 * Audio comes in pieces by byte range and is forgotten after it was played: memory does not grow with the song.
 */

import { SEGMENT_S, Voice } from "./voice.js";

const AHEAD_S = 3; // scheduled beyond what sounds
const LEAD_S = 0.05; // between an order and its sound
const FADE_S = 0.008; // long enough not to click
const TICK_MS = 100;

/** @typedef {import("./voice.js").TakeStem} TakeStem */
/** @typedef {{key: string, stems: TakeStem[]}} Take */
/** @typedef {{at: number, from: number, count: number}} Span frames of the clock, of the song, and how many */

/** Plays takes of a song. */
export class Player {
  /** @type {Voice[]} */ #voices = [];
  /** @type {Span[]} */ #spans = [];
  #generation = 0;
  #position = 0;
  #next = 0; // frame of the song to schedule next
  #nextAt = 0; // and its frame on the clock
  /** @type {Promise<void>|null} */ #filling = null;
  /** @type {number|undefined} */ #timer;
  /** @type {Set<string>|null} */ #audible = null;
  #take = "";
  /** @type {{start: number, end: number}|null} */ #loop = null;
  /** @type {GainNode|undefined} */ #output;

  /**
   * @param {() => BaseAudioContext} makeContext called when something is to sound; its rate is the song's
   * @param {number} rate of the song, in frames a second
   * @param {number} frames of the song
   * @param {(error: Error|null) => void} onChange when it starts or stops
   */
  constructor(makeContext, rate, frames, onChange) {
    this.makeContext = makeContext;
    this.rate = rate;
    this.frames = frames;
    this.onChange = onChange;
    /** @type {BaseAudioContext|undefined} */
    this.context = undefined;
    this.isPlaying = false;
    /** @type {Take[]} */
    this.takes = [];
  }

  /** The frame of the song that sounds now. */
  get position() {
    if (!this.isPlaying || !this.context) return this.#position;
    const latency = /** @type {AudioContext} */ (this.context).outputLatency || 0;
    const now = Math.round((this.context.currentTime - latency) * this.rate);
    let frame = this.#position;
    for (const span of this.#spans) {
      if (span.at > now) break;
      frame = span.from + Math.min(now - span.at, span.count);
    }
    return frame;
  }

  get take() {
    return this.#take;
  }

  get loop() {
    return this.#loop;
  }

  /**
   * Set the takes that can be chosen; what sounds goes on in the one that is chosen.
   * @param {Take[]} takes
   * @param {string} chosen key of the one that sounds
   */
  setTakes(takes, chosen) {
    this.takes = takes;
    this.#take = chosen;
    if (this.context) this.#renewVoices();
  }

  /** @param {string} key */
  selectTake(key) {
    if (!this.takes.some((take) => take.key === key)) return;
    this.#take = key;
    this.#setGains();
  }

  /** @param {Set<string>|null} sources that sound; null = all */
  setAudible(sources) {
    this.#audible = sources;
    this.#setGains();
  }

  /** @param {{start: number, end: number}|null} loop in frames */
  setLoop(loop) {
    this.#loop = loop;
    if (!this.isPlaying) return;
    const { position } = this;
    this.seek(loop && (position < loop.start || position >= loop.end) ? loop.start : position);
  }

  /** Play from where it stopped. */
  async play() {
    if (this.isPlaying || !this.takes.length) return;
    if (!this.context) {
      this.context = this.makeContext();
      this.#output = new GainNode(this.context);
      this.#output.connect(this.context.destination);
      this.#renewVoices();
    }
    if (this.context instanceof AudioContext) await this.context.resume();
    if (this.#position >= this.frames) this.#position = 0;
    if (this.#loop && (this.#position < this.#loop.start || this.#position >= this.#loop.end)) {
      this.#position = this.#loop.start;
    }
    this.isPlaying = true;
    this.#begin();
    this.onChange(null);
  }

  pause() {
    if (!this.isPlaying) return;
    this.#position = Math.min(this.frames, this.position);
    this.#end();
    this.onChange(null);
  }

  /** @param {number} frame */
  seek(frame) {
    const within = Math.min(Math.max(0, Math.round(frame)), this.frames);
    if (!this.isPlaying) {
      this.#position = within;
      return;
    }
    this.#silence();
    this.#position = within;
    this.#begin();
  }

  /** Stop for good. */
  close() {
    this.#end();
    if (this.context instanceof AudioContext) void this.context.close();
    this.context = undefined;
    this.takes = [];
  }

  /**
   * Schedule what is to sound next, so far ahead that nothing runs dry.
   * @returns {Promise<void>}
   */
  fill() {
    this.#filling ??= this.#fill().finally(() => (this.#filling = null));
    return this.#filling;
  }

  async #fill() {
    while (this.isPlaying && this.context) {
      const now = Math.ceil(this.context.currentTime * this.rate);
      if (this.#nextAt - now > AHEAD_S * this.rate) return;
      const generation = this.#generation;
      if (this.#loop && this.#next >= this.#loop.end) this.#next = this.#loop.start;
      const from = this.#next;
      if (from >= this.frames) {
        if (this.position >= this.frames) this.pause();
        return;
      }
      const size = SEGMENT_S * this.rate;
      const index = Math.floor(from / size);
      const end = Math.min((index + 1) * size, this.frames, this.#loop && from < this.#loop.end ? this.#loop.end : Infinity);
      const voices = this.#voices;
      const buffers = await Promise.all(voices.map((voice) => voice.segment(index)));
      if (generation !== this.#generation || !this.context) continue;
      const ready = Math.ceil((this.context.currentTime + LEAD_S) * this.rate);
      const at = Math.max(this.#nextAt, ready); // later than planned where bytes came late
      voices.forEach((voice, n) => voice.schedule(buffers[n], at / this.rate, from - index * size, end - from));
      this.#spans.push({ at, from, count: end - from });
      this.#spans = this.#spans.filter((span) => span.at + span.count > now - this.rate);
      this.#next = end;
      this.#nextAt = at + end - from;
    }
  }

  #begin() {
    const context = /** @type {BaseAudioContext} */ (this.context);
    this.#generation += 1;
    this.#spans = [];
    this.#next = this.#position;
    this.#nextAt = Math.ceil((context.currentTime + LEAD_S) * this.rate);
    const when = this.#nextAt / this.rate; // after what sounded before has faded
    for (const voice of this.#voices) voice.gain.gain.setValueAtTime(this.#isHeard(voice) ? 1 : 0, when);
    clearInterval(this.#timer);
    this.#timer = window.setInterval(() => this.#tick(), TICK_MS);
    this.#tick();
  }

  #tick() {
    this.fill().catch((error) => {
      this.pause();
      this.onChange(error);
    });
  }

  /** Let what sounds fade out, and forget what was scheduled. */
  #silence() {
    this.#generation += 1;
    if (!this.context) return;
    const end = this.context.currentTime + FADE_S;
    for (const voice of this.#voices) {
      ramp(voice.gain, 0, this.context.currentTime);
      voice.stop(end);
    }
  }

  #end() {
    this.isPlaying = false;
    clearInterval(this.#timer);
    this.#silence();
  }

  #renewVoices() {
    const context = /** @type {BaseAudioContext} */ (this.context);
    const wasPlaying = this.isPlaying;
    const { position } = this;
    const old = this.#voices;
    const voices = this.takes.flatMap(({ key, stems }) =>
      stems.map((stem) => {
        const same = old.find((voice) => voice.take === key && voice.address === stem.address);
        same?.setPart(stem.part);
        return same ?? new Voice(context, /** @type {GainNode} */ (this.#output), key, stem, this.frames);
      }),
    );
    const gone = old.filter((voice) => !voices.includes(voice));
    if (!gone.length && voices.length === old.length) {
      this.#setGains(); // what sounds goes on without a gap
      return;
    }
    this.#silence();
    this.#voices = voices;
    setTimeout(() => gone.forEach((voice) => voice.gain.disconnect()), 1000 * LEAD_S);
    this.#setGains();
    if (wasPlaying) {
      this.#position = position;
      this.#begin();
    }
  }

  #setGains() {
    if (!this.context) return;
    for (const voice of this.#voices) ramp(voice.gain, this.#isHeard(voice) ? 1 : 0, this.context.currentTime);
  }

  /** @param {Voice} voice */
  #isHeard(voice) {
    return voice.take === this.#take && (this.#audible === null || this.#audible.has(voice.source));
  }
}

/**
 * @param {GainNode} node
 * @param {number} target
 * @param {number} now
 */
function ramp({ gain }, target, now) {
  gain.cancelScheduledValues(now);
  gain.setValueAtTime(gain.value, now);
  gain.linearRampToValueAtTime(target, now + FADE_S);
}
