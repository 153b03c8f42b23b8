"""Exit statuses of `ugosa`; scripts rely on these numbers."""

from __future__ import annotations

from enum import IntEnum

from ugosa_client.errors import (
    BadInputError,
    ClosedError,
    IntegrityError,
    NotFoundError,
    ServerUnavailableError,
    UgosaClientError,
    WrongStateError,
)


class ExitCode(IntEnum):
    """Exit statuses."""

    OK = 0
    JOB_FAILED = 1
    BAD_INPUT = 2
    SERVER_UNREACHABLE = 3
    CANCELLED = 4
    INTEGRITY = 5
    INTERRUPTED = 130


EXIT_CODES_HELP = """\
exit status:
  0    ok
  1    the job failed, or the server could not do what was asked
  2    usage or bad input: options, marks, audio, an unknown job, files in the way
  3    no server answers
  4    the job was cancelled
  5    bytes arrived damaged (checksum)
  130  interrupted; jobs that were made go on at the server
"""


def exit_code(error: UgosaClientError | OSError) -> ExitCode:
    """Return the exit status of an error."""
    match error:
        case BadInputError() | NotFoundError() | WrongStateError() | OSError():
            return ExitCode.BAD_INPUT
        case ServerUnavailableError():
            return ExitCode.SERVER_UNREACHABLE
        case UgosaClientError(reason="CANCELLED"):
            return ExitCode.CANCELLED
        case IntegrityError():
            return ExitCode.INTEGRITY
        case ClosedError():
            return ExitCode.INTERRUPTED
        case _:
            return ExitCode.JOB_FAILED
