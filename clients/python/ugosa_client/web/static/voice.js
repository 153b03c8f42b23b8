// @ts-check
/** One stem of one take: audio that comes in segments, is scheduled on the clock, and is forgotten. */

import { WavFile } from "./wav.js";

export const SEGMENT_S = 1;
const KEPT_SEGMENTS = 6;

/** @typedef {{address: string, start: number, end: number}} Part audio that sounds instead, in these frames */
/** @typedef {{source: string, address: string, part?: Part}} TakeStem */

/** Audio of a stem by the segment, and the gain through which it sounds. */
export class Voice {
  /** @type {Map<number, Promise<AudioBuffer>>} */ #segments = new Map();
  /** @type {(Part & {file: WavFile})|undefined} */ #part;

  /**
   * @param {BaseAudioContext} context
   * @param {AudioNode} output
   * @param {string} take
   * @param {TakeStem} stem
   * @param {number} frames
   */
  constructor(context, output, take, { source, address, part }, frames) {
    this.take = take;
    this.source = source;
    this.address = address;
    this.gain = new GainNode(context, { gain: 0 });
    this.gain.connect(output);
    /** @type {Set<AudioBufferSourceNode>} */
    this.playing = new Set();
    this.context = context;
    this.frames = frames;
    this.file = new WavFile(address);
    this.setPart(part);
  }

  /** @param {Part|undefined} part another one is heard from the next segment on */
  setPart(part) {
    if (part?.address === this.#part?.address) return;
    this.#part = part && { ...part, file: new WavFile(part.address) };
    this.#segments.clear();
  }

  /**
   * @param {number} index
   * @returns {Promise<AudioBuffer>}
   */
  segment(index) {
    const known = this.#segments.get(index);
    if (known) return known;
    const read = this.#read(index);
    read.catch(() => this.#segments.delete(index));
    this.#segments.set(index, read);
    for (const old of this.#segments.keys()) {
      if (this.#segments.size <= KEPT_SEGMENTS) break;
      this.#segments.delete(old);
    }
    return read;
  }

  /** @param {number} index */
  async #read(index) {
    const rate = this.context.sampleRate;
    const start = index * SEGMENT_S * rate;
    const channels = await this.file.read(start, Math.min(this.frames, start + SEGMENT_S * rate));
    const buffer = new AudioBuffer({ length: channels[0].length, numberOfChannels: channels.length, sampleRate: rate });
    channels.forEach((samples, channel) => buffer.copyToChannel(samples, channel));
    if (this.#part) await this.#readPart(this.#part, buffer, start);
    return buffer;
  }

  /**
   * @param {Part & {file: WavFile}} part
   * @param {AudioBuffer} buffer
   * @param {number} first frame of the buffer in the song
   */
  async #readPart({ file, start, end }, buffer, first) {
    const [from, to] = [Math.max(first, start), Math.min(first + buffer.length, end)];
    if (from >= to) return;
    const read = file.read(from - start, to - start);
    const channels = await read.catch(() => []); // a part is gone once a better one is there
    channels.forEach((samples, channel) => buffer.copyToChannel(samples, channel, from - first));
  }

  /**
   * @param {AudioBuffer} buffer
   * @param {number} when
   * @param {number} offset in frames
   * @param {number} count in frames
   */
  schedule(buffer, when, offset, count) {
    const node = new AudioBufferSourceNode(this.context, { buffer });
    node.connect(this.gain);
    node.onended = () => {
      node.disconnect();
      this.playing.delete(node);
    };
    this.playing.add(node);
    const rate = this.context.sampleRate;
    node.start(when, offset / rate, count / rate);
  }

  /** @param {number} when */
  stop(when) {
    for (const node of this.playing) node.stop(when);
    this.playing.clear();
  }
}
