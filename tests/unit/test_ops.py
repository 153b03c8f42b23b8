"""The examples in ops/ work as they stand."""

import shutil
import subprocess
from pathlib import Path

import pytest

from ugosa_server.config import load_config

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
