// node separate.mjs SONG OUT_DIR [no-SOURCE=START_S-END_S ...]    for example: no-vocals=0-12.5
import { createHash, randomUUID } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import crc from "@aws-crypto/crc32c";
import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";

const CHUNK_BYTES = 512 * 1024;
const protos = process.env.UGOSA_PROTOS ?? fileURLToPath(new URL("../../protos", import.meta.url));
const services = ["upload", "job"].map((name) => `ugosa/v1/${name}_service.proto`);
const loading = { includeDirs: [protos], keepCase: true, longs: String, enums: String, defaults: true };
const definition = protoLoader.loadSync(services, loading);
const { ugosa } = grpc.loadPackageDefinition(definition);
const target = process.env.UGOSA_SERVER ?? "127.0.0.1:50051";
const options = { "grpc.enable_http_proxy": 0 }; // the server is on this machine, which no proxy reaches
const uploads = new ugosa.v1.UploadService(target, grpc.credentials.createInsecure(), options);
const jobs = new ugosa.v1.JobService(target, grpc.credentials.createInsecure(), options);
const call = (client, method, request) => promisify(client[method]).call(client, request);

async function upload(path) {
  const bytes = readFileSync(path);
  const format = { encoded: { file_name: basename(path) } };
  const made = await call(uploads, "CreateUpload", { request_id: randomUUID(), format, size_bytes: bytes.length });
  const stream = uploads.WriteUpload();
  const answers = stream[Symbol.asyncIterator](); // throws what the server refuses
  stream.write({ open: { upload_id: made.upload.upload_id } });
  let offset = Number((await answers.next()).value.committed_size);
  for (; offset < bytes.length; offset += CHUNK_BYTES) {
    const data = bytes.subarray(offset, offset + CHUNK_BYTES);
    if (!stream.write({ chunk: { offset, data, crc32c: crc.crc32c(data) } })) await once(stream, "drain");
  }
  stream.write({ finish: { size_bytes: bytes.length, sha256: createHash("sha256").update(bytes).digest("hex") } });
  stream.end();
  for await (const answer of { [Symbol.asyncIterator]: () => answers }) if (answer.upload) return answer.upload;
}

async function fetchStem(jobId, stem, outDir) {
  const parts = [];
  for await (const { chunk } of jobs.ReadStem({ job_id: jobId, source: stem.source })) parts.push(chunk.data);
  const bytes = Buffer.concat(parts);
  if (createHash("sha256").update(bytes).digest("hex") !== stem.sha256) throw new Error(`${stem.source} arrived damaged`);
  writeFileSync(join(outDir, `${stem.source}.wav`), bytes);
}

function stop(message, status = 1) {
  console.error(message);
  process.exit(status);
}

process.on("uncaughtException", (error) => stop(error.details ?? error.message));
const [song, outDir, ...silences] = process.argv.slice(2);
if (!outDir) stop("name a song and a folder: node separate.mjs SONG OUT_DIR [no-SOURCE=START_S-END_S ...]", 2);
if (!existsSync(song)) stop(`there is no file ${song}`, 2);
const regions = silences.map((text) => {
  const [, source, ...times] = /^no-(.+)=(\d+\.?\d*)-(\d+\.?\d*)$/.exec(text) ?? [];
  if (!source) stop(`${text} is no mark; write one as no-vocals=0-12.5, in seconds`, 2);
  return { source, times };
});
const { upload_id, audio } = await upload(song);
const marks = regions.map(({ source, times }) => {
  const [start_frame, end_frame] = times.map((time_s) => Math.round(time_s * audio.sample_rate_hz));
  return { source, state: "MARK_STATE_SILENT", start_frame, end_frame };
});
let { job } = await call(jobs, "CreateJob", { request_id: randomUUID(), upload_id, marks: { marks } });
for await (const { event } of jobs.WatchJob({ job_id: job.job_id })) {
  if (event.progress) console.log(`${Math.round(event.progress.fraction * 100)} % ${event.progress.phase}`);
  else console.log(event.state_changed?.state ?? event.notice.message);
}
({ job } = await call(jobs, "GetJob", { job_id: job.job_id }));
if (job.state !== "JOB_STATE_SUCCEEDED") throw new Error(`${job.state}: ${job.error?.message ?? ""}`);
mkdirSync(outDir, { recursive: true });
for (const stem of job.stems) await fetchStem(job.job_id, stem, outDir);
