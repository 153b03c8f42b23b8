"""`make check` notices when the wire contract of the last release is broken."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tools.check_breaking import check, newest_tag

ROOT = Path(__file__).parents[2]
LOCAL_BUF = ROOT / ".venv" / "node" / "node_modules" / ".bin" / "buf"
BUF = LOCAL_BUF if LOCAL_BUF.exists() else shutil.which("buf")

pytestmark = pytest.mark.skipif(BUF is None, reason="buf is not installed; `make check` installs it")


@pytest.fixture
def released(tmp_path):
    """A repository whose protos are released as v0.1.0."""
    shutil.copytree(ROOT / "protos", tmp_path / "protos")
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    for words in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-qm", "x"], ["tag", "v0.1.0"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    return tmp_path


def edit(repository, old, new):
    path = repository / "protos" / "ugosa" / "v1" / "upload_service.proto"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_without_a_release_there_is_nothing_to_break(tmp_path):
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    assert newest_tag(tmp_path) is None
    assert check(tmp_path, Path(BUF)) == 0


def test_the_released_contract_and_additions_to_it_pass(released):
    assert check(released, Path(BUF)) == 0
    edit(released, "message GetUploadRequest {", "message GetUploadRequest {\n  string note = 99;")
    assert check(released, Path(BUF)) == 0


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("rpc GetUpload(", "rpc FetchUpload("),
        ("int64 committed_size = ", "string committed_size = "),
        ("string upload_id = 1;", "string upload_id = 9;"),
    ],
)
def test_a_break_fails(released, old, new):
    edit(released, old, new)
    assert check(released, Path(BUF)) != 0
