"""The last step of ADAPTATION: masks are calibrated behind the network that is kept, if the guard agrees."""

from __future__ import annotations

from torch import Tensor

from ugosa_server.adaptation.calibration import STRENGTHS, fit_calibration
from ugosa_server.adaptation.guard import Filter, Guard
from ugosa_server.adaptation.loop import segment_length
from ugosa_server.adaptation.remix import RemixPool
from ugosa_server.pipeline.context import RunContext
from ugosa_server.pipeline.model_input import ModelMix
from ugosa_server.separation.calibration import MaskCalibration
from ugosa_server.separation.wiener import filtered_window


def calibrate(
    context: RunContext, mix: ModelMix, pool: RemixPool, guard: Guard | None
) -> MaskCalibration | None:
    """Calibrate the masks of the network as it is now; None where none can be believed."""
    network, device = context.model.network, context.model.device
    sample_rate_hz, exponent = context.config.sample_rate_hz, context.spec.options.separation.wiener_exponent
    window_frames = segment_length(len(mix.frames), sample_rate_hz, context.spec.options.adaptation)

    def separate(window: Tensor) -> Tensor:
        stems: Tensor = network(window.unsqueeze(0).to(device))[0]
        return stems

    calibration = fit_calibration(
        separate,
        pool,
        exponent,
        sample_rate_hz,
        window_frames,
        context.spec.options.seed,
        context.check_cancel,
    )
    if calibration is None:
        return None
    strengths = [calibration.at(strength) for strength in STRENGTHS]
    if guard is None:
        return strengths[0]

    def behind(calibration: MaskCalibration | None) -> Filter:
        return lambda estimates, mix: filtered_window(estimates, mix, exponent, sample_rate_hz, calibration)

    place = guard.judge_calibrations(
        lambda window, start, name: separate(window), behind(None), [behind(one) for one in strengths]
    )
    return None if place is None else strengths[place]
