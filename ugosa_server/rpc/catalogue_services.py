"""ModelService, and MarksService: analysis of a song, and marks checked and suggested by it."""

from __future__ import annotations

import asyncio

from ugosa_server.adaptation import PRESETS
from ugosa_server.errors import NotAnalysedError
from ugosa_server.jobs import JobKind
from ugosa_server.jobs.options import JobOptionsRequest
from ugosa_server.jobs.queue import JobQueue
from ugosa_server.jobs.results import SongAnalysis
from ugosa_server.marks import lint_marks, suggest_marks
from ugosa_server.models import ModelInfo
from ugosa_server.rpc.convert import finding_to_wire, job_to_wire, marks_from_wire, message_of
from ugosa_server.rpc.interceptors import Context, current_principal
from ugosa_server.wire.ugosa.v1 import marks_service_pb2 as marks_wire
from ugosa_server.wire.ugosa.v1 import model_service_pb2 as wire
from ugosa_server.wire.ugosa.v1.marks_service_pb2_grpc import MarksServiceServicer
from ugosa_server.wire.ugosa.v1.model_service_pb2_grpc import ModelServiceServicer


class ModelService(ModelServiceServicer):
    """See protos/ugosa/v1/model_service.proto."""

    def __init__(self, jobs: JobQueue) -> None:
        self._jobs = jobs

    async def ListModels(self, request: wire.ListModelsRequest, context: Context) -> wire.ListModelsResponse:
        return wire.ListModelsResponse(
            models=[self._to_wire(model) for model in self._jobs.registry.models()], presets=PRESETS
        )

    async def GetModel(self, request: wire.GetModelRequest, context: Context) -> wire.GetModelResponse:
        model = self._jobs.drafts.model(request.name)
        return wire.GetModelResponse(model=self._to_wire(model))

    def _to_wire(self, model: ModelInfo) -> wire.Model:
        return message_of(wire.Model, model, is_default=model.name == self._jobs.drafts.default_model)


class MarksService(MarksServiceServicer):
    """See protos/ugosa/v1/marks_service.proto."""

    def __init__(self, jobs: JobQueue) -> None:
        self._jobs = jobs

    async def Listen(self, request: marks_wire.ListenRequest, context: Context) -> marks_wire.ListenResponse:
        analysis = await self._analysis(request.upload_id, request.model)
        job, model = analysis.job, analysis.model.name
        if job is None:
            options = JobOptionsRequest(model=model, adaptation={"strategy": "B0"}, kind=JobKind.ANALYSIS)
            job = await self._jobs.create(
                current_principal(), request.request_id, request.upload_id, options, ()
            )
        return marks_wire.ListenResponse(job=job_to_wire(job))

    async def LintMarks(
        self, request: marks_wire.LintMarksRequest, context: Context
    ) -> marks_wire.LintMarksResponse:
        marks = marks_from_wire(request.marks)
        song, model, _, levels = await self._analysis(request.upload_id, request.model)
        findings = await asyncio.to_thread(
            lint_marks, marks, model.config.sources, song, levels, residual=model.residual
        )
        return marks_wire.LintMarksResponse(
            findings=[finding_to_wire(finding) for finding in findings], heard=levels is not None
        )

    async def SuggestMarks(
        self, request: marks_wire.SuggestMarksRequest, context: Context
    ) -> marks_wire.SuggestMarksResponse:
        _, model, _, levels = await self._analysis(request.upload_id, request.model)
        if levels is None:
            raise NotAnalysedError(
                f"{model.name} has not analysed this song; call Listen and wait for its job"
            )
        suggestions = await asyncio.to_thread(suggest_marks, levels)
        return marks_wire.SuggestMarksResponse(
            suggestions=[message_of(marks_wire.SuggestedMark, one) for one in suggestions]
        )

    async def _analysis(self, upload_id: str, model: str) -> SongAnalysis:
        return await self._jobs.results.find_analysis(current_principal(), upload_id, model)
