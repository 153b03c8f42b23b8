// @ts-check
/** Calls of the gateway. */

import { say, unsay } from "./dom.js";

/** @typedef {{source: string, state: "silent"|"active", start_frame: number, end_frame: number}} Mark */
/** @typedef {Mark & {confidence: number}} Suggestion */
/** @typedef {{sample_rate_hz: number, channels: number, frames: number, encoding: string, peak: number}} Audio */
/** @typedef {{source: string, encoding: string, sha256: string}} Stem */
/** @typedef {{message: string, outcome: string}} Verdict */
/** @typedef {{job_id: string, state: string, kind: string, options: Record<string, any>, marks: Mark[], fraction: number,
 *   create_time: string, starred: boolean, accepted: boolean, stems: Stem[], adapter: object|null, queue_position: number, failure: {message: string}|null, verdict?: Verdict|null,
 *   last_seq: number}} Job */
/** @typedef {{upload_id: string, file_name: string, audio: Audio, can_be_heard: boolean, frames_per_peak: number}} Song */
/** @typedef {{name: string, description: string, sources: string[], strategies: string[], is_default: boolean}} Model */
/** @typedef {{name: string, title: string, suffix: string}} MarksFormat */
/** @typedef {{code: string, severity: "error"|"warning"|"info", message: string, fix: string, source: string,
 *   start_frame: number|null, end_frame: number|null}} Finding */
/** @typedef {{event: "state"|"progress"|"notice"|"base_stems"|"preview", seq: number, state?: string, phase?: string, fraction?: number,
 *   eta_s?: number|null, epoch?: number, epochs?: number, reason?: string, message?: string, warning?: boolean,
 *   held_back_db?: number|null, failure?: {message: string}|null, step?: number, start_frame?: number, end_frame?: number}} JobEvent */
/** @typedef {{marks?: Mark[], read_marks?: Mark[]}} Notes those of the page, and those of a file to be put in their place */
/** @typedef {string|null} Tag what is another word for other notes */
/** @typedef {{name: string, job_id: string, is_base: boolean, sources: string[]}} Take */
/** @typedef {{number: number, job: Job, marks_changed: string[], options_changed: string[], started_from: number|null,
 *   takes: Take[]}} Version */

const RETRY_MS = 3000;
const PATIENCE_MS = 4000; // with an answer, until it is said that one waits for it
const WAITING = "waiting for the server…";

/**
 * Call a route; an answer that is no success is an Error with the server's own words.
 * @param {string} path
 * @param {RequestInit} [init]
 * @returns {Promise<Response>}
 */
async function call(path, init) {
  let answer;
  const waits = setInterval(() => say(WAITING), PATIENCE_MS);
  try {
    answer = await fetch(path, init);
  } catch {
    throw new Error("ugosa web does not answer; is it still running in its terminal?");
  } finally {
    clearInterval(waits);
    unsay(WAITING);
  }
  if (answer.ok) return answer;
  const text = await answer.text();
  let message = text;
  try {
    message = JSON.parse(text).message;
  } catch {
    // not of a route: a plain sentence
  }
  throw new Error(message || `${path} answered ${answer.status}`);
}

/**
 * @param {string} path
 * @returns {Promise<any>}
 */
const get = async (path) => (await call(path)).json();

/**
 * @param {string} path
 * @param {any} body
 * @param {string} [method]
 */
const send = (path, body, method = "POST") =>
  call(path, { method, body: JSON.stringify(body), headers: { "content-type": "application/json" } });

/** @param {string} id */
const song = (id) => `/api/songs/${encodeURIComponent(id)}`;
/** @param {string} id */
const job = (id) => `/api/jobs/${encodeURIComponent(id)}`;
/**
 * @param {Take} take
 * @param {string} path
 */
const ofTake = (take, path) => `${job(take.job_id)}/${path}${take.is_base ? "?take=base" : ""}`;

/**
 * The place of a song's page in the address.
 * @param {Song} song
 */
export const placeOf = ({ upload_id }) => `#song=${encodeURIComponent(upload_id)}`;

export const api = {
  /** @returns {Promise<{models: Model[], marks_formats: MarksFormat[]}>} */
  models: () => get("/api/models"),
  /** @returns {Promise<Song[]>} */
  songs: () => get("/api/songs"),
  /**
   * @param {string} id
   * @returns {Promise<Song & {jobs: Job[], versions: Version[]}>}
   */
  song: (id) => get(song(id)),
  /**
   * @param {string} id
   * @returns {Promise<Notes & {tag: Tag}>}
   */
  notes: async (id) => {
    const answer = await call(`${song(id)}/notes`);
    return { ...(await answer.json()), tag: answer.headers.get("etag") };
  },
  /**
   * @param {string} id
   * @param {Notes} notes
   * @param {Tag} tag of the notes that they are made of: others, of another window, are not replaced
   * @returns {Promise<Tag>} theirs
   */
  writeNotes: async (id, notes, tag) => {
    const headers = { "content-type": "application/json", ...(tag && { "if-match": tag }) };
    const answer = await call(`${song(id)}/notes`, { method: "PUT", body: JSON.stringify(notes), headers });
    return answer.headers.get("etag");
  },
  /**
   * @param {string} id
   * @param {Mark[]} marks
   * @param {string} model
   * @returns {Promise<{findings: Finding[], analysed: boolean}>}
   */
  lint: async (id, marks, model) => (await send(`${song(id)}/lint`, { marks, model })).json(),
  /**
   * @param {string} id
   * @param {string} model
   * @returns {Promise<Job>}
   */
  analyse: async (id, model) => (await send(`${song(id)}/analysis`, { model })).json(),
  /**
   * @param {string} id
   * @param {string} model
   * @returns {Promise<Suggestion[]>}
   */
  suggestions: (id, model) => get(`${song(id)}/suggestions?model=${encodeURIComponent(model)}`),
  /**
   * @param {string} id
   * @param {File} file
   * @param {string} model
   * @returns {Promise<Mark[]>}
   */
  readMarks: async (id, file, model) => {
    const query = new URLSearchParams({ name: file.name, model });
    return (await call(`${song(id)}/marks/read?${query}`, { method: "POST", body: file })).json();
  },
  /**
   * @param {string} id
   * @param {Mark[]} marks
   * @param {string} format
   * @returns {Promise<Blob>}
   */
  writeMarks: async (id, marks, format) => (await send(`${song(id)}/marks/write`, { marks, format })).blob(),
  /**
   * @param {string} id
   * @param {Mark[]} marks
   * @param {Record<string, any>} options
   * @returns {Promise<Job>} an earlier one where the same was asked for before
   */
  createJob: async (id, marks, options) => (await send("/api/jobs", { song: id, marks, options, reuse: true })).json(),
  /**
   * @param {string} id
   * @returns {Promise<Job>}
   */
  job: (id) => get(job(id)),
  /**
   * @param {string} id
   * @param {boolean} starred
   */
  star: (id, starred) => send(`${job(id)}/star`, { starred }, "PUT"),
  /**
   * Let a job learn no more, and go on to its stems.
   * @param {string} id
   */
  accept: (id) => call(`${job(id)}/accept`, { method: "POST" }),
  /** @param {string} id */
  cancel: (id) => call(job(id), { method: "DELETE" }),
  /** @param {string} id */
  mixAddress: (id) => `${song(id)}/mix`,
  /**
   * @param {Take} take
   * @param {string} source
   */
  stemAddress: (take, source) => ofTake(take, `stems/${encodeURIComponent(source)}/wav`),
  /**
   * The newest preview of a job that learns.
   * @param {string} id
   * @param {string} source
   * @param {number} step of the weights
   */
  previewAddress: (id, source, step) => `${job(id)}/stems/${encodeURIComponent(source)}/wav?take=preview&step=${step}`,
  /** @param {Take} take */
  zipAddress: (take) => ofTake(take, "stems.zip"),
  /**
   * @param {Take} take
   * @param {string} daw "reaper", "audacity" or "dawproject"
   */
  projectAddress: (take, daw) => ofTake(take, `projects/${daw}`),
  /**
   * Peaks of a mix or a stem as wavesurfer.js takes them: the upper and the lower half, both from 0 to 1.
   * @param {string} address of the audio
   * @returns {Promise<Float32Array[]>}
   */
  peaks: async (address) => {
    const path = address.replace(/(mix|wav)(?=\?|$)/, "peaks");
    const pairs = new Int8Array(await (await call(path)).arrayBuffer());
    const upper = new Float32Array(pairs.length / 2);
    const lower = new Float32Array(pairs.length / 2);
    for (let index = 0; index < upper.length; index += 1) {
      lower[index] = Math.max(0, -pairs[2 * index] / 127);
      upper[index] = Math.max(0, pairs[2 * index + 1] / 127);
    }
    return [upper, lower];
  },
  /**
   * Send a song, with the share that has gone.
   * @param {File} file
   * @param {(share: number) => void} onProgress
   * @returns {Promise<Song>}
   */
  addSong: (file, onProgress) =>
    new Promise((resolve, reject) => {
      const request = new XMLHttpRequest(); // fetch tells nothing of what has gone
      request.open("PUT", `/api/songs?name=${encodeURIComponent(file.name)}`);
      request.responseType = "json";
      request.upload.onprogress = (event) => onProgress(event.total ? event.loaded / event.total : 0);
      request.onload = () =>
        request.status === 201
          ? resolve(request.response)
          : reject(new Error(request.response?.message ?? `the song was refused (${request.status})`));
      request.onerror = () => reject(new Error("the song did not arrive; is ugosa web still running?"));
      request.send(file);
    }),
  /**
   * Follow a job to its end. After a break it goes on behind the last event that arrived.
   * @param {string} id
   * @param {(event: JobEvent) => void} onEvent
   * @param {() => void} onEnd
   * @param {() => void} onBreak
   * @returns {() => void} ends it
   */
  watch: (id, onEvent, onEnd, onBreak) => {
    /** @type {EventSource} */ let events;
    /** @type {number|undefined} */ let timer;
    let last = "0";
    const open = () => {
      events = new EventSource(`${job(id)}/events?after=${last}`);
      events.onmessage = (message) => {
        last = message.lastEventId;
        onEvent(JSON.parse(message.data));
      };
      events.onerror = () => {
        onBreak();
        if (events.readyState === EventSource.CLOSED) timer = window.setTimeout(open, RETRY_MS); // refused: the browser gives up
      };
      events.addEventListener("end", () => {
        events.close();
        onEnd();
      });
    };
    open();
    return () => {
      clearTimeout(timer);
      events.close();
    };
  },
};
