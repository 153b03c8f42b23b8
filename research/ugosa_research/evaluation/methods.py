"""Methods compared: a strategy in the paper's names, and options that differ from the defaults."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ugosa_server.adaptation.presets import AdaptationOptions, OptionValues, resolve_options
from ugosa_server.adaptation.strategies import Objective, parse_strategy
from ugosa_server.jobs.option_table import number_text
from ugosa_server.jobs.options import check_adaptation
from ugosa_server.models.registry import ModelInfo

OPTION_WORDS = {
    "silence_weight": "lambda",
    "segment_s": "segment",
    "learning_rate": "lr",
    "epochs": "epochs",
    "marks_weight": "marks",
    "guard": "guard",
}
"""Options that an experiment varies, by their field in `AdaptationOptions`, and how tables call them."""


@dataclass(frozen=True)
class Method:
    """One row of a table."""

    strategy: str
    """In the paper's names: "B0", "P-L3:D"."""
    changes: tuple[tuple[str, float | int], ...] = ()
    """Options that differ from the preset or the model's defaults: field of `AdaptationOptions`, value."""

    @property
    def name(self) -> str:
        """For people: "P-L3:D" or "P-L3:D lambda=0.1"."""
        words = [f"{OPTION_WORDS[key]}={number_text(value)}" for key, value in self.changes]
        return " ".join([self.strategy, *words])

    @property
    def file_stem(self) -> str:
        """The name as a file name."""
        return self.name.replace(":", "").replace(" ", "_")

    def options(self, model: ModelInfo, preset: str | None) -> AdaptationOptions:
        """Every choice made and checked.

        Raises:
            BadOptionError: an option is out of its range.
        """
        chosen: OptionValues = {"strategy": self.strategy, **dict(self.changes)}
        options = resolve_options(preset, model.adaptation_defaults, chosen)
        check_adaptation(options, model.config)
        return options


def grid(strategies: Sequence[str], varied: Mapping[str, Sequence[float | int]]) -> list[Method]:
    """Every strategy with every combination of option values; B0, which has none, once.

    Args:
        strategies: names, in the order of the table.
        varied: values by field of `AdaptationOptions`; a field without values keeps its default.

    Raises:
        BadOptionError: there is no such strategy.
    """
    fields = [name for name, values in varied.items() if values]
    methods: list[Method] = []
    for strategy in strategies:
        parsed = parse_strategy(strategy)
        if parsed.depth is None:
            methods.append(Method(strategy))
            continue
        for values in itertools.product(*(varied[name] for name in fields)):
            changes = dict(zip(fields, values, strict=True))
            if not parsed.uses_marks:
                changes.pop("silence_weight", None)  # there is no silence term
            if parsed.objective is not Objective.REMIX:
                changes.pop("marks_weight", None)  # Eq. 2 is all there is
            methods.append(Method(strategy, tuple(changes.items())))
    return list(dict.fromkeys(methods))
