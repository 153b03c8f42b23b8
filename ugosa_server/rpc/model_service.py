"""ModelService."""

from __future__ import annotations

from typing import Any

import grpc.aio

from ugosa_server.adaptation.presets import PRESETS
from ugosa_server.models.registry import ModelRegistry
from ugosa_server.rpc.convert import model_to_wire
from ugosa_server.rpc.error_table import explains_errors
from ugosa_server.wire.ugosa.v1 import model_service_pb2 as wire
from ugosa_server.wire.ugosa.v1.model_service_pb2_grpc import ModelServiceServicer

Context = grpc.aio.ServicerContext[Any, Any]


class ModelService(ModelServiceServicer):
    """See protos/ugosa/v1/model_service.proto."""

    def __init__(self, registry: ModelRegistry, default_model: str) -> None:
        self._registry = registry
        self._default_model = default_model

    @explains_errors
    async def ListModels(  # noqa: N802
        self, request: wire.ListModelsRequest, context: Context
    ) -> wire.ListModelsResponse:
        """See the proto."""
        return wire.ListModelsResponse(
            models=[
                model_to_wire(model, is_default=model.name == self._default_model)
                for model in self._registry.models()
            ],
            presets=PRESETS,
        )

    @explains_errors
    async def GetModel(self, request: wire.GetModelRequest, context: Context) -> wire.GetModelResponse:  # noqa: N802
        """See the proto."""
        model = self._registry.get(request.name or self._default_model)
        return wire.GetModelResponse(model=model_to_wire(model, is_default=model.name == self._default_model))
