"""Operation of a server: health, metrics, a log for machines, the doctor."""

from __future__ import annotations

import json
import os
import signal
import urllib.request
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.helpers.jobs import LONG, QUICK, silent, wait_for_adaptation
from tests.helpers.server import Server, StartServer, replaced_and_stopped
from tests.helpers.songs import make_song, write_song
from ugosa_server.cli import main

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
HEALTH_TIMEOUT_S = 120.0
MARKS = [silent("vocals", 10000, 30000)]
METRICS_LINE = "ugosa-server answers Prometheus on "


def scraped(server: Server) -> dict[str, float]:
    """Every sample of a scrape, by name and labels."""
    lines = server.log_path.read_text().splitlines()
    (url,) = (line.removeprefix(METRICS_LINE) for line in lines if line.startswith(METRICS_LINE))
    with urllib.request.urlopen(url, timeout=60) as answer:
        text = answer.read().decode()
    samples = (line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, value in samples}


def test_health_metrics_and_log_show_job_death_and_drain(start_server: StartServer, tmp_path: Path):
    logs = ("--log-format", "json", "--log-level", "INFO")
    server = start_server("--metrics", "127.0.0.1:0", *logs, "--drain-grace-s", "0.5")
    song = write_song(make_song(44100), tmp_path / "song.wav")
    with server.client() as client, grpc.insecure_channel(server.target) as channel:
        upload = client.upload(song)
        job = client.create_job(upload.upload_id, marks=MARKS, options=QUICK)
        list(client.watch(job.job_id))
        samples = scraped(server)
        assert samples['ugosa_jobs{state="succeeded"}'] == 1
        assert samples['ugosa_jobs{state="queued"}'] == 0
        assert samples["ugosa_received_bytes_total"] == song.stat().st_size
        assert samples['ugosa_stored_bytes{kind="uploads"}'] == 44100 * 2 * 4
        assert samples['ugosa_stored_bytes{kind="stems"}'] > 4 * 44100 * 2 * 4
        assert samples['ugosa_job_seconds_count{state="succeeded"}'] == 1
        assert samples['ugosa_principal_jobs{principal="local"}'] == 1
        assert samples['ugosa_principal_queued_jobs{principal="local"}'] == 0
        stored = (samples[f'ugosa_stored_bytes{{kind="{kind}"}}'] for kind in ("uploads", "stems"))
        assert samples['ugosa_principal_stored_bytes{principal="local"}'] == sum(stored)
        phases = {
            name.split('"')[1]: value
            for name, value in samples.items()
            if name.startswith("ugosa_job_phase_seconds_sum")
        }
        assert {"adaptation", "separation"} <= set(phases)
        assert 0 < sum(phases.values()) <= samples['ugosa_job_seconds_sum{state="succeeded"}']
        assert scraped(server)['ugosa_job_seconds_count{state="succeeded"}'] == 1, "counted once"
        assert (samples["ugosa_worker_ready"], samples["ugosa_worker_restarts_total"]) == (1, 0)

        health = health_pb2_grpc.HealthStub(channel).Watch(
            health_pb2.HealthCheckRequest(service="ugosa.v1.JobService"), timeout=HEALTH_TIMEOUT_S
        )
        assert next(health).status == SERVING
        starting = replaced_and_stopped(server)
        assert next(health).status == NOT_SERVING
        starting.send_signal(signal.SIGCONT)
        assert next(health).status == SERVING
        assert scraped(server)["ugosa_worker_restarts_total"] == 1

        long = client.create_job(upload.upload_id, marks=MARKS, options=LONG)
        wait_for_adaptation(client, long.job_id)
        server.process.send_signal(signal.SIGTERM)
        assert next(health).status == NOT_SERVING
    assert server.process.wait(60) == 0

    lines = server.log_path.read_text().splitlines()
    records = [json.loads(line) for line in lines if not line.startswith("ugosa-server ")]
    assert {"time", "level", "logger", "message"} <= set.intersection(*(set(record) for record in records))
    of_job = {record["logger"] for record in records if record.get("job_id") == job.job_id}
    assert {"ugosa_server.scheduling", "ugosa_server.pipeline"} <= of_job
    assert any(record.get("upload_id") == upload.upload_id for record in records)


def doctor(model_dir: Path, state_dir: Path, *words: str) -> int:
    places = [
        "--model-dir",
        str(model_dir),
        "--state-dir",
        str(state_dir),
        "--listen",
        f"unix:{state_dir}/u.sock",
    ]
    return main(["doctor", "--json", "--model", "tiny", *places, *words])


def test_doctor_separates_a_second_and_names_the_device(
    model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert doctor(model_dir, tmp_path, "--device", "auto") == 0
    findings = {f["check"]: f for f in map(json.loads, capsys.readouterr().out.splitlines())}
    assert list(findings) == [
        "versions",
        "state directory",
        "disk",
        "addresses",
        "device",
        "models",
        "self-test",
    ]
    assert "cuda" in findings["device"]["text"].lower(), "which GPU, or why none"
    assert "add up to the mix exactly" in findings["self-test"]["text"]


def test_doctor_fails_with_the_finding(model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    models = tmp_path / "models"
    models.mkdir()
    os.link(model_dir / "tiny.safetensors", models / "tiny.safetensors")
    (models / "tiny.sha256").write_text(f"{'0' * 64}  tiny.safetensors\n")
    state = tmp_path / "state"
    state.mkdir(mode=0o755)
    assert doctor(models, state, "--device", "cuda:7", "--listen", "0.0.0.0:50051") == 1
    findings = {f["check"]: f for f in map(json.loads, capsys.readouterr().out.splitlines())}
    failed = {check: finding["text"] for check, finding in findings.items() if not finding["ok"]}
    assert "chmod 700" in failed["state directory"]
    assert "tls_cert" in failed["addresses"]
    assert "cuda:7" in failed["device"]
    assert "damaged or was replaced" in failed["models"]
    assert "self-test" in failed
