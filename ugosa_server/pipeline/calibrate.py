"""The last step of ADAPTATION: masks are calibrated behind the network that is kept, if the guard agrees."""

from __future__ import annotations

from torch import Tensor

from ugosa_server.adaptation.calibration import fit_calibration
from ugosa_server.adaptation.guard import Filter, Guard
from ugosa_server.adaptation.loop import training_segments
from ugosa_server.adaptation.remix import RemixPool
from ugosa_server.pipeline.context import RunContext
from ugosa_server.pipeline.model_input import ModelMix
from ugosa_server.separation.calibration import MaskCalibration
from ugosa_server.separation.wiener import filtered_window


def calibrate(
    context: RunContext, mix: ModelMix, pool: RemixPool, guard: Guard | None
) -> MaskCalibration | None:
    """Calibrate the masks of the network as it is now; None where the guard does not believe it."""
    network, device = context.model.network, context.model.device
    sample_rate_hz, exponent = context.config.sample_rate_hz, context.spec.options.separation.wiener_exponent
    segments = training_segments(len(mix.frames), sample_rate_hz, context.spec.options.adaptation)

    def separate(window: Tensor) -> Tensor:
        stems: Tensor = network(window.unsqueeze(0).to(device))[0]
        return stems

    calibration = fit_calibration(
        separate,
        pool,
        exponent,
        segments.segment_frames,
        context.spec.options.seed,
        context.check_cancel,
    )
    if calibration is None or guard is None:
        return calibration

    def behind(calibration: MaskCalibration | None) -> Filter:
        return lambda estimates, mix: filtered_window(estimates, mix, exponent, sample_rate_hz, calibration)

    is_believed = guard.judge_calibration(
        lambda window, start, name: separate(window), behind(None), behind(calibration)
    )
    return calibration if is_believed else None
