"""The examples in ops/ work as they stand."""

import json
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from ugosa_server.config import load_config

RAY = find_spec("ray")
OPS = Path(__file__).parents[2] / "ops"


def test_the_configuration_is_one():
    config = load_config(OPS / "ugosa.toml", {})
    assert config.listen == ("unix:/run/ugosa/ugosa.sock", "0.0.0.0:50051")
    assert config.tls_cert
    assert config.log_format == "json"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("name", ["ugosa-server.service", "ugosa-server.user.service"])
def test_systemd_understands_every_line_of_the_units(tmp_path, name):
    text = (OPS / name).read_text()
    for program in ("/opt/ugosa/bin/ugosa-server", "%h/.local/bin/ugosa-server"):
        text = text.replace(program, "/bin/true")
    unit = tmp_path / "ugosa-server.service"
    unit.write_text(text.replace("Documentation=file:///usr/share/doc/ugosa-server/README.md\n", ""))
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    about_it = [line for line in checked.stderr.splitlines() if "ugosa-server.service" in line]
    assert about_it == []


@pytest.mark.skipif(RAY is None, reason="the Ray engine is optional: pip install '.[ray]'")
def test_the_cluster_file_is_one_that_ray_takes():
    import jsonschema
    import yaml

    schema = json.loads((Path(RAY.origin).parent / "autoscaler" / "ray-schema.json").read_text())
    cluster = yaml.safe_load((OPS / "ray-cluster.yaml").read_text())
    jsonschema.validate(cluster, schema)
    assert cluster["head_node_type"] in cluster["available_node_types"]
    for command in (*cluster["head_start_ray_commands"], *cluster["worker_start_ray_commands"]):
        assert "ray start" not in command or "RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0" in command
