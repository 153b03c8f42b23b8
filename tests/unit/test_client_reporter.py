"""Output for people while a job runs."""

import io

from rich.console import Console

from tests.helpers.breaking_server import progress_events
from ugosa_client.cli.reporter import LinesReporter, LiveReporter, live_display
from ugosa_client.convert import to_event
from ugosa_client.events import Notice

EVENTS = [to_event(event) for event in progress_events("j", 40)]


def test_a_terminal_shows_phase_epoch_loss_and_time_left():
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120)
    reporter = LiveReporter(display=live_display(console))
    song = reporter.for_song("My [song].wav")
    song.uploaded(50, 100)
    song.happened(EVENTS[19])
    song.happened(Notice("j", 99, 1, None, reason="NO_MARKS", message="no [marks] were given"))
    reporter.close()
    shown = screen.getvalue()
    for text in (
        "My [song].wav",
        "50%",
        "adaptation, epoch 20/40, loss 0.5, 0:01:01 left",
        "no [marks] were given",
    ):
        assert text in shown


def test_plain_lines_are_few(capsys):
    reporter = LinesReporter()
    for done in range(1001):
        reporter.uploaded(done, 1000)
    assert len(capsys.readouterr().err.splitlines()) == 11
    for event in [*EVENTS, *EVENTS[-3:]]:
        reporter.happened(event)
    assert len(capsys.readouterr().err.splitlines()) <= len(EVENTS) + 3


def test_a_step_that_changes_nothing_to_read_prints_nothing(capsys):
    reporter = LinesReporter()
    for _ in range(5):
        reporter.happened(EVENTS[0])
    assert len(capsys.readouterr().err.splitlines()) == 1
