PRAGMA user_version = 1;
CREATE TABLE uploads (
        upload_id TEXT PRIMARY KEY,
        principal TEXT NOT NULL,
        request_id TEXT NOT NULL,
        request_digest TEXT NOT NULL,
        format TEXT NOT NULL,
        state TEXT NOT NULL,
        committed_size INTEGER NOT NULL DEFAULT 0,
        sha256 TEXT NOT NULL DEFAULT '',
        audio TEXT,
        create_time_s REAL NOT NULL,
        UNIQUE (principal, request_id)
    ) STRICT, WITHOUT ROWID;
INSERT INTO uploads VALUES ('upload-00000000000000a1', 'local', 'r1', 'digest', '{"pcm":null,"file_name":"song.wav"}', 'complete', 4044, 'abababababababababababababababababababababababababababababababab', '{"path":"/state/uploads/upload-00000000000000a1/audio.f32","sample_rate_hz":44100,"channels":2,"frames":1000,"encoding":"WAV PCM_16","peak":0.5}', 1.0);
INSERT INTO uploads VALUES ('upload-00000000000000a2', 'local', 'r2', 'digest', '{"pcm":null,"file_name":""}', 'receiving', 123, '', NULL, 2.0);
CREATE TABLE jobs (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        job_id TEXT NOT NULL UNIQUE,
        principal TEXT NOT NULL,
        request_id TEXT NOT NULL,
        request_digest TEXT NOT NULL,
        upload_id TEXT NOT NULL,
        upload_sha256 TEXT NOT NULL,
        file_name TEXT NOT NULL,
        audio TEXT NOT NULL,
        options TEXT NOT NULL,
        marks TEXT NOT NULL,
        state TEXT NOT NULL,
        attempt INTEGER NOT NULL DEFAULT 0,
        fraction REAL NOT NULL DEFAULT 0,
        last_seq INTEGER NOT NULL DEFAULT 0,
        create_time_s REAL NOT NULL,
        start_time_s REAL,
        end_time_s REAL,
        error TEXT,
        result TEXT,
        UNIQUE (principal, request_id)
    ) STRICT;
INSERT INTO jobs VALUES (1, 'job-00000000000000b1', 'local', 'r-job-00000000000000b1', 'digest', 'upload-00000000000000a1', 'abababababababababababababababababababababababababababababababab', 'song.wav', '{"path":"/state/uploads/upload-00000000000000a1/audio.f32","sample_rate_hz":44100,"channels":2,"frames":1000,"encoding":"WAV PCM_16","peak":0.5}', '{"model":"tiny","kind":"separation","preset":"paper","adaptation":{"strategy":"P-L3:D","silence_weight":1.0,"learning_rate":0.00001,"epochs":10,"segment_s":4.0,"hop_s":null,"batch_size":1,"pitch_shifts":0},"separation":{"segment_s":8.0,"overlap":0.25,"shifts":0},"stem_encoding":"wav-float32","seed":0}', '[{"source":"vocals","state":"silent","start_frame":0,"end_frame":900}]', 'succeeded', 1, 0.0, 1, 10.0, 11.0, 20.0, NULL, '{"stems":[{"source":"drums","file_name":"drums.wav","frames":1000,"size_bytes":8044,"sha256":"0000000000000000000000000000000000000000000000000000000000001f6c"},{"source":"bass","file_name":"bass.wav","frames":1000,"size_bytes":8045,"sha256":"0000000000000000000000000000000000000000000000000000000000001f6d"},{"source":"other","file_name":"other.wav","frames":1000,"size_bytes":8046,"sha256":"0000000000000000000000000000000000000000000000000000000000001f6e"},{"source":"vocals","file_name":"vocals.wav","frames":1000,"size_bytes":8047,"sha256":"0000000000000000000000000000000000000000000000000000000000001f6f"}],"report_json":"report.json","report_html":"report.html"}');
INSERT INTO jobs VALUES (2, 'job-00000000000000b2', 'local', 'r-job-00000000000000b2', 'digest', 'upload-00000000000000a1', 'abababababababababababababababababababababababababababababababab', 'song.wav', '{"path":"/state/uploads/upload-00000000000000a1/audio.f32","sample_rate_hz":44100,"channels":2,"frames":1000,"encoding":"WAV PCM_16","peak":0.5}', '{"model":"tiny","kind":"separation","preset":"paper","adaptation":{"strategy":"P-L3:D","silence_weight":1.0,"learning_rate":0.00001,"epochs":10,"segment_s":4.0,"hop_s":null,"batch_size":1,"pitch_shifts":0},"separation":{"segment_s":8.0,"overlap":0.25,"shifts":0},"stem_encoding":"wav-float32","seed":0}', '[{"source":"vocals","state":"silent","start_frame":0,"end_frame":900}]', 'failed', 1, 0.0, 1, 10.0, 11.0, 30.0, '{"reason":"DIVERGED","message":"the loss is not a number"}', NULL);
INSERT INTO jobs VALUES (3, 'job-00000000000000b3', 'local', 'r-job-00000000000000b3', 'digest', 'upload-00000000000000a1', 'abababababababababababababababababababababababababababababababab', 'song.wav', '{"path":"/state/uploads/upload-00000000000000a1/audio.f32","sample_rate_hz":44100,"channels":2,"frames":1000,"encoding":"WAV PCM_16","peak":0.5}', '{"model":"tiny","kind":"separation","preset":"paper","adaptation":{"strategy":"P-L3:D","silence_weight":1.0,"learning_rate":0.00001,"epochs":10,"segment_s":4.0,"hop_s":null,"batch_size":1,"pitch_shifts":0},"separation":{"segment_s":8.0,"overlap":0.25,"shifts":0},"stem_encoding":"wav-float32","seed":0}', '[{"source":"vocals","state":"silent","start_frame":0,"end_frame":900}]', 'running', 1, 0.0, 1, 10.0, 11.0, NULL, NULL, NULL);
INSERT INTO jobs VALUES (4, 'job-00000000000000b4', 'local', 'r-job-00000000000000b4', 'digest', 'upload-00000000000000a1', 'abababababababababababababababababababababababababababababababab', 'song.wav', '{"path":"/state/uploads/upload-00000000000000a1/audio.f32","sample_rate_hz":44100,"channels":2,"frames":1000,"encoding":"WAV PCM_16","peak":0.5}', '{"model":"tiny","kind":"separation","preset":"paper","adaptation":{"strategy":"P-L3:D","silence_weight":1.0,"learning_rate":0.00001,"epochs":10,"segment_s":4.0,"hop_s":null,"batch_size":1,"pitch_shifts":0},"separation":{"segment_s":8.0,"overlap":0.25,"shifts":0},"stem_encoding":"wav-float32","seed":0}', '[{"source":"vocals","state":"silent","start_frame":0,"end_frame":900}]', 'queued', 1, 0.0, 1, 10.0, 11.0, NULL, NULL, NULL);
CREATE INDEX jobs_by_state ON jobs (state, number);
CREATE INDEX jobs_by_upload ON jobs (upload_id);
CREATE TABLE events (
        job_id TEXT NOT NULL,
        seq INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        time_s REAL NOT NULL,
        kind TEXT NOT NULL,
        body TEXT NOT NULL,
        PRIMARY KEY (job_id, seq)
    ) STRICT, WITHOUT ROWID;
INSERT INTO events VALUES ('job-00000000000000b1', 1, 1, 10.0, 'state', '{"state":"succeeded","error":null}');
INSERT INTO events VALUES ('job-00000000000000b2', 1, 1, 10.0, 'state', '{"state":"failed","error":null}');
INSERT INTO events VALUES ('job-00000000000000b3', 1, 1, 10.0, 'state', '{"state":"running","error":null}');
INSERT INTO events VALUES ('job-00000000000000b4', 1, 1, 10.0, 'state', '{"state":"queued","error":null}');
