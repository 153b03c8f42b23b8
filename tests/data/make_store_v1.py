"""Writes tests/data/store_v1.sql: a store of schema version 1, the first that was released, with rows in it.

    python tests/data/make_store_v1.py

The dump is text, so that a change would be seen in review; version 1 never changes, so neither does it.
"""

from pathlib import Path

import apsw

from ugosa_server.jobs.store.schema import MIGRATIONS

AUDIO = (
    '{"path":"/state/uploads/upload-00000000000000a1/audio.f32","sample_rate_hz":44100,"channels":2,'
    '"frames":1000,"encoding":"WAV PCM_16","peak":0.5}'
)
OPTIONS = (
    '{"model":"tiny","kind":'
    '"separation","preset":"paper","adaptation":{"strategy":"P-L3:D","silence_weight":1.0,"learning_rate":0.00001,"epochs":10,"segment_s":4.0,"hop_s":null,"batch_size":1,"pitch_shifts":0},"separation":{"segment_s":8.0,"overlap":0.25,"shifts":0},"stem_encoding":"wav-float32","seed":0}'
)
STEMS = ",".join(
    f'{{"source":"{source}","file_name":"{source}.wav","frames":1000,"size_bytes":{size},"sha256":"{size:064x}"}}'
    for source, size in (("drums", 8044), ("bass", 8045), ("other", 8046), ("vocals", 8047))
)
RESULT = f'{{"stems":[{STEMS}],"report_json":"report.json","report_html":"report.html"}}'
ERROR = '{"reason":"DIVERGED","message":"the loss is not a number"}'
UPLOAD = "upload-00000000000000a1"


def make() -> apsw.Connection:
    connection = apsw.Connection(":memory:")
    connection.execute(MIGRATIONS[0])
    connection.pragma("user_version", 1)
    connection.executemany(
        "INSERT INTO uploads VALUES (?, 'local', ?, 'digest', ?, ?, ?, ?, ?, ?)",
        [
            (UPLOAD, "r1", '{"pcm":null,"file_name":"song.wav"}', "complete", 4044, "ab" * 32, AUDIO, 1.0),
            ("upload-00000000000000a2", "r2", '{"pcm":null,"file_name":""}', "receiving", 123, "", None, 2.0),
        ],
    )
    for job, state, end, error, result in (
        ("job-00000000000000b1", "succeeded", 20.0, None, RESULT),
        ("job-00000000000000b2", "failed", 30.0, ERROR, None),
        ("job-00000000000000b3", "running", None, None, None),
        ("job-00000000000000b4", "queued", None, None, None),
    ):
        marks = '[{"source":"vocals","state":"silent","start_frame":0,"end_frame":900}]'
        connection.execute(
            "INSERT INTO jobs (job_id, principal, request_id, request_digest, upload_id, upload_sha256,"
            " file_name, audio, options, marks, state, attempt, last_seq, create_time_s, start_time_s,"
            " end_time_s, error, result) VALUES (?, 'local', ?, 'digest', ?, ?, 'song.wav', ?, ?, ?, ?, 1, 1,"
            " 10.0, 11.0, ?, ?, ?)",
            (job, f"r-{job}", UPLOAD, "ab" * 32, AUDIO, OPTIONS, marks, state, end, error, result),
        )
        connection.execute(
            "INSERT INTO events VALUES (?, 1, 1, 10.0, 'state', ?)",
            (job, f'{{"state":"{state}","error":null}}'),
        )
    return connection


def dump() -> str:
    lines = ["PRAGMA user_version = 1;"]
    connection = make()
    for kind, name, sql in connection.execute(
        "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'"
    ).fetchall():
        lines.append(f"{sql};")
        if kind == "table":
            for row in connection.execute(f"SELECT * FROM {name}"):
                values = ", ".join(apsw.format_sql_value(value) for value in row)
                lines.append(f"INSERT INTO {name} VALUES ({values});")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path(__file__).with_name("store_v1.sql").write_text(dump())
