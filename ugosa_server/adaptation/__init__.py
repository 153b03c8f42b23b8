"""One-shot adaptation of a separation network to one song.

The names here are free of torch; the worker imports the fine-tuning itself from `loop`.
"""

from ugosa_server.adaptation.objective import LossTerms
from ugosa_server.adaptation.presets import PRESETS, AdaptationOptions, resolve_options
from ugosa_server.adaptation.strategies import ALL_STRATEGIES, Strategy, parse_strategy
from ugosa_server.adaptation.verdict import Outcome, SourceVerdict, Verdict

__all__ = [
    "ALL_STRATEGIES",
    "PRESETS",
    "AdaptationOptions",
    "LossTerms",
    "Outcome",
    "SourceVerdict",
    "Strategy",
    "Verdict",
    "parse_strategy",
    "resolve_options",
]
