"""Advice on marks: the server's findings before a job is made, and its suggestions."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from ugosa_client.connection import Connection
from ugosa_client.convert import from_marks, to_job, to_marks, to_resource
from ugosa_client.marks.findings import Finding
from ugosa_client.resources import Job, Mark
from ugosa_client.wire.ugosa.v1 import marks_pb2, marks_service_pb2


@dataclass(frozen=True)
class Lint:
    """Findings of the server about marks."""

    findings: tuple[Finding, ...]
    """Errors first."""
    analysed: bool
    """Whether the model has analysed the song; if not, sound in marked silence goes unnoticed."""


@dataclass(frozen=True)
class Suggestion:
    """A mark that the server proposes."""

    mark: Mark
    confidence: float
    """Confidence of the model, 0.5 to 1."""


def analyse(
    connection: Connection, upload_id: str, *, model: str | None = None, request_id: str | None = None
) -> Job:
    """Return the job in which a model analyses a song, for `lint_marks` and `suggest_marks`.

    Watch the job to its end. If the model has analysed the song before, in whatever kind of job, that job is
    returned.
    """
    request = marks_service_pb2.ListenRequest(
        request_id=request_id or str(uuid.uuid4()), upload_id=upload_id, model=model or ""
    )
    return to_job(connection.unary(connection.marks.Listen, request).job)


def lint_marks(
    connection: Connection, upload_id: str, marks: Iterable[Mark], *, model: str | None = None
) -> Lint:
    """Return findings about marks of a song; no error however bad they are."""
    request = marks_service_pb2.LintMarksRequest(
        upload_id=upload_id, model=model or "", marks=from_marks(marks)
    )
    answer = connection.unary(connection.marks.LintMarks, request)
    return Lint(tuple(to_resource(Finding, message) for message in answer.findings), answer.heard)


def suggest_marks(
    connection: Connection, upload_id: str, *, model: str | None = None
) -> tuple[Suggestion, ...]:
    """Return the marks that a model suggests for a song that it has analysed (`analyse`)."""
    request = marks_service_pb2.SuggestMarksRequest(upload_id=upload_id, model=model or "")
    answer = connection.unary(connection.marks.SuggestMarks, request)
    marks = to_marks(marks_pb2.Marks(marks=[message.mark for message in answer.suggestions]))
    confidences = [message.confidence for message in answer.suggestions]
    return tuple(Suggestion(*pair) for pair in zip(marks, confidences, strict=True))
