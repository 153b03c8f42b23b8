"""A short help of a command with many options, and `--help-all` for the rest."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterable
from functools import partial
from typing import Any

ALWAYS_SHOWN = ("--help", "--help-all")


class BriefFormatter(argparse.RawDescriptionHelpFormatter):
    """Writes help of positional arguments and of some options only."""

    def __init__(self, prog: str, shown: Collection[str] = ()) -> None:
        super().__init__(prog)
        self._shown = {*ALWAYS_SHOWN, *shown}

    def _shows(self, action: argparse.Action) -> bool:
        return not action.option_strings or bool(self._shown.intersection(action.option_strings))

    def add_usage(
        self, usage: str | None, actions: Iterable[argparse.Action], groups: Any, prefix: str | None = None
    ) -> None:
        """See argparse."""
        super().add_usage(usage, [action for action in actions if self._shows(action)], (), prefix)

    def add_argument(self, action: argparse.Action) -> None:
        """See argparse."""
        if self._shows(action):
            super().add_argument(action)


class HelpAll(argparse.Action):
    """Prints the help with every option."""

    def __init__(self, option_strings: list[str], dest: str, help: str | None = None) -> None:
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Print it and exit with 0."""
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        parser.print_help()
        parser.exit()


def show_only(parser: argparse.ArgumentParser, shown: Collection[str]) -> None:
    """Leave the help of all options but `shown` to `--help-all`."""
    parser.add_argument("--help-all", action=HelpAll, help="show all options and exit")
    parser.formatter_class = partial(BriefFormatter, shown=shown)
