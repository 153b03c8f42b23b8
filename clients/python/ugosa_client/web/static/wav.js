// @ts-check
/** WAV files read by byte range: any part of a file of any length becomes samples. */

const HEADER_BYTES = 4096;

/** @typedef {{dataOffset: number, frameBytes: number, channels: number, bits: number, isFloat: boolean}} Layout */

/** A WAV file behind an address that answers byte ranges. */
export class WavFile {
  /** @type {Promise<Layout>|undefined} */ #layout;

  /** @param {string} address */
  constructor(address) {
    this.address = address;
  }

  /**
   * Read frames.
   * @param {number} start first frame
   * @param {number} end exclusive
   * @returns {Promise<Float32Array<ArrayBuffer>[]>} one array of samples per channel
   */
  async read(start, end) {
    this.#layout ??= this.#readLayout();
    const layout = await this.#layout;
    const first = layout.dataOffset + start * layout.frameBytes;
    const bytes = await this.#bytes(first, layout.dataOffset + end * layout.frameBytes);
    return samplesOf(new DataView(bytes), layout);
  }

  async #readLayout() {
    try {
      return layoutOf(new DataView(await this.#bytes(0, HEADER_BYTES)));
    } catch (error) {
      this.#layout = undefined; // to be asked for again
      throw error;
    }
  }

  /**
   * @param {number} start
   * @param {number} end
   */
  async #bytes(start, end) {
    const answer = await fetch(this.address, { headers: { range: `bytes=${start}-${end - 1}` } });
    if (answer.status !== 206) throw new Error(`the audio cannot be read (${answer.status})`);
    return answer.arrayBuffer();
  }
}

/**
 * Find what the header of a WAV or RF64 file says.
 * @param {DataView} view of its first bytes
 * @returns {Layout}
 */
export function layoutOf(view) {
  const word = (/** @type {number} */ at) => String.fromCharCode(...new Uint8Array(view.buffer, at, 4));
  if (!["RIFF", "RF64"].includes(word(0)) || word(8) !== "WAVE") throw new Error("this is no WAV file");
  let layout = null;
  for (let at = 12; at + 8 <= view.byteLength; ) {
    const size = view.getUint32(at + 4, true);
    if (word(at) === "fmt ") {
      const plain = view.getUint16(at + 8, true);
      const format = plain === 0xfffe ? view.getUint16(at + 32, true) : plain; // WAVE_FORMAT_EXTENSIBLE
      const [channels, bits] = [view.getUint16(at + 10, true), view.getUint16(at + 22, true)];
      layout = { channels, bits, isFloat: format === 3, frameBytes: (channels * bits) / 8 };
    } else if (word(at) === "data" && layout) {
      return { ...layout, dataOffset: at + 8 };
    }
    at += 8 + size + (size % 2);
  }
  throw new Error("this WAV file has no samples near its start");
}

/**
 * @param {DataView} view
 * @param {Layout} layout
 * @returns {Float32Array<ArrayBuffer>[]}
 */
export function samplesOf(view, { channels, bits, isFloat, frameBytes }) {
  const frames = Math.floor(view.byteLength / frameBytes);
  const made = Array.from({ length: channels }, () => new Float32Array(frames));
  if (isFloat && bits === 32) {
    const all = new Float32Array(view.buffer, 0, frames * channels); // every system of today is little-endian
    made.forEach((samples, channel) => {
      for (let frame = 0; frame < frames; frame += 1) samples[frame] = all[frame * channels + channel];
    });
    return made;
  }
  if (isFloat || ![16, 24].includes(bits)) throw new Error(`WAV of ${bits} bits is not played here`);
  made.forEach((samples, channel) => {
    for (let frame = 0; frame < frames; frame += 1) {
      const at = frame * frameBytes + (channel * bits) / 8;
      samples[frame] =
        bits === 16 ? view.getInt16(at, true) / 32768 : (view.getInt16(at + 1, true) * 256 + view.getUint8(at)) / 8388608;
    }
  });
  return made;
}
