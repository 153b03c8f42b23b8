"""Many clients and somebody who kills: what all of them saw together is one history that can be true."""

from __future__ import annotations

import random
import signal
import threading
from functools import partial

import pytest

from tests.soak.clients import Soak, canceller, musician, persistent

JOIN_S = 240.0


def kill_some(server, kills, chance):
    """kill -9 the server or its worker, at any moment; wait until it serves again."""
    for number in range(kills):
        threading.Event().wait(chance.uniform(0.2, 3.0))
        if number % 2:
            server.worker().kill()
        else:
            assert server.kill() == -signal.SIGKILL
            server.start()
        server.wait_ready()


@pytest.mark.timeout(2400)
@pytest.mark.parametrize(
    ("musicians", "cancellers", "kills"), [(3, 1, 2), pytest.param(6, 2, 30, marks=pytest.mark.slow)]
)
def test_clients_see_one_true_history_under_kills(start_server, tmp_path, musicians, cancellers, kills):
    server = start_server()
    stopping = threading.Event()
    soak = Soak(server.target, tmp_path, stopping, deadly=True)
    threads = [
        threading.Thread(target=partial(persistent, kind, soak, f"{kind.__name__} {number}"))
        for number, kind in enumerate([*[musician] * musicians, *[canceller] * cancellers])
    ]
    for thread in threads:
        thread.start()
    kill_some(server, kills, random.Random(kills))
    stopping.set()
    for thread in threads:
        thread.join(JOIN_S)
    assert not any(thread.is_alive() for thread in threads)
    with soak.client() as client:
        for job in client.list_jobs():
            list(soak.history.watching(client.watch(job.job_id), job.job_id, 0))
        assert soak.history.verdict(client.list_jobs()) == []
    assert soak.counts["songs separated"] >= kills, soak.counts
    assert server.stop() == 0
