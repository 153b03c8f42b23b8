"""The doctor looks at a state directory and leaves it as it is."""

import itertools
import socket

import apsw
import pytest

from ugosa_server.addresses import UnixAddress, claim_socket
from ugosa_server.config import ServerConfig
from ugosa_server.doctor import examine
from ugosa_server.jobs.store import STORE_FILE_NAME, Store


@pytest.fixture
def state_dir(tmp_path):
    tmp_path.chmod(0o700)
    return tmp_path


def findings(state_dir):
    """Those of the checks that look at the store."""
    config = ServerConfig(state_dir=str(state_dir), listen=[f"unix:{state_dir}/u.sock"])
    found = {finding.check: finding for finding in itertools.islice(examine(config), 4)}
    return found["state directory"], found["addresses"]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_doctor_changes_no_store(state_dir):
    store = Store(state_dir / STORE_FILE_NAME)
    store.tokens.create("anna", None)
    store.close()
    before = contents(state_dir)
    state, addresses = findings(state_dir)
    assert (state.ok, addresses.ok) == (True, True)
    assert "holds the store (jobs: 0); no server uses it now" in state.text
    assert contents(state_dir) == before


def test_doctor_reads_the_store_of_a_running_server(state_dir):
    store = Store(state_dir / STORE_FILE_NAME)
    assert findings(state_dir)[0].ok
    store.close()


def test_doctor_reports_a_store_that_the_server_cannot_read(state_dir):
    connection = apsw.Connection(str(state_dir / STORE_FILE_NAME))
    connection.execute("CREATE TABLE jobs (job_id TEXT); PRAGMA user_version = 3")
    connection.close()
    before = contents(state_dir)
    state, _ = findings(state_dir)
    assert not state.ok
    assert "before the first release" in state.text
    assert contents(state_dir) == before


def test_doctor_refuses_what_the_server_would(state_dir):
    (state_dir / "holiday.txt").write_text("sun")
    state, _ = findings(state_dir)
    assert not state.ok
    assert "is no state directory of ugosa-server" in state.text
    (state_dir / "file").touch(0o600)
    state, _ = findings(state_dir / "file")
    assert not state.ok
    assert "cannot make the state directory" in state.text


def test_doctor_tells_a_socket_in_use_from_one_that_a_crash_left(state_dir):
    address = UnixAddress(state_dir / "u.sock")
    with claim_socket(address), socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(address.path))
        assert findings(state_dir)[1].text.endswith("u.sock is in use")
    assert address.path.exists()
    assert findings(state_dir)[1].text.endswith("u.sock is free")
