"""What a run does when the GPU has too little memory: smaller pieces, then the CPU if allowed.

What is done with less is exactly what a job with these options would be, so the report's options still say
how the stems came about. On the CPU, the options are again those that were asked for.
"""

from __future__ import annotations

import gc
from dataclasses import replace

import torch

from ugosa_server.adaptation.presets import AdaptationOptions
from ugosa_server.errors import DeviceMemoryError
from ugosa_server.jobs.runs import RunPhase, RunSpec
from ugosa_server.pipeline.resident import ResidentNetwork
from ugosa_server.separation.options import SeparationOptions

MIN_SEGMENT_S = 1.0  # shorter ones would hardly save more, and the network hears too little in them

# Libraries below torch ask for memory themselves and have errors of their own.
ALLOCATION_FAILURES = ("CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED", "CUFFT_ALLOC_FAILED")


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether the error says that the device has too little memory."""
    return isinstance(error, torch.OutOfMemoryError) or any(
        word in str(error) for word in ALLOCATION_FAILURES
    )


def smaller_adaptation(options: AdaptationOptions) -> AdaptationOptions | None:
    """Half the batch, then half the segment; None when neither can be halved."""
    if options.batch_size > 1:
        return replace(options, batch_size=options.batch_size // 2)
    segment_s = options.segment_s / 2
    if segment_s < MIN_SEGMENT_S:
        return None
    hop_s = None if options.hop_s is None else min(options.hop_s, segment_s)
    return replace(options, segment_s=segment_s, hop_s=hop_s)


def smaller_separation(options: SeparationOptions) -> SeparationOptions | None:
    """Half the segment; None when it cannot be halved."""
    segment_s = options.segment_s / 2
    return None if segment_s < MIN_SEGMENT_S else replace(options, segment_s=segment_s)


class MemoryFallback:
    """Decides what one run tries next. The network goes back to the GPU when the next run asks for it."""

    def __init__(self, asked: RunSpec, model: ResidentNetwork, *, cpu_allowed: bool) -> None:
        self._asked = asked
        self._model = model
        self._cpu_allowed = cpu_allowed

    def with_less(self, spec: RunSpec, phase: RunPhase) -> tuple[RunSpec, str]:
        """Give the run as it is to be tried now, and what to tell the user.

        Args:
            spec: the run as it was tried.
            phase: what the memory was too little for.

        Raises:
            DeviceMemoryError: there is nothing left to try.
        """
        gc.collect()
        torch.cuda.empty_cache()
        too_little = f"the GPU's memory is too little for {phase.value.replace('_', ' ')}"
        if phase is RunPhase.ADAPTATION:
            adaptation = smaller_adaptation(spec.adaptation)
            if adaptation is not None:
                return (
                    replace(spec, adaptation=adaptation),
                    f"{too_little} in batches of {spec.adaptation.batch_size} segments of"
                    f" {spec.adaptation.segment_s:g} s: going on with {adaptation.batch_size} of"
                    f" {adaptation.segment_s:g} s",
                )
        else:
            separation = smaller_separation(spec.separation)
            if separation is not None:
                return (
                    replace(spec, separation=separation),
                    f"{too_little} in segments of {spec.separation.segment_s:g} s: going on with"
                    f" {separation.segment_s:g} s",
                )
        if not (self._cpu_allowed and self._model.on_gpu):
            raise DeviceMemoryError(
                f"{too_little}, even in the smallest pieces; free some, or set cpu_fallback in the server's"
                " configuration"
            )
        self._model.move_to_cpu()
        asked = replace(spec, adaptation=self._asked.adaptation, separation=self._asked.separation)
        return asked, f"{too_little}, even in the smallest pieces: going on on the CPU, which takes longer"
