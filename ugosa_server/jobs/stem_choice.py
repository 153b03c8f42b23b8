"""Choice of the stems that a job gives: some of those that it makes, and the sum of the others."""

from __future__ import annotations

from dataclasses import dataclass

from ugosa_server.errors import BadOptionError

REST = "rest"


@dataclass(frozen=True)
class StemChoice:
    """Stems to give."""

    made: tuple[str, ...]
    """Names of all stems, in the model's order; their sum is the mix."""
    chosen: tuple[str, ...] = ()
    """Those that are given by themselves; empty = all."""

    @property
    def others(self) -> tuple[str, ...]:
        """Names of the stems whose sum is given as `REST`; none if each is given by itself."""
        return tuple(name for name in self.made if name not in self.chosen) if self.chosen else ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the stems that are given, in order."""
        if not self.others:
            return self.made
        return (*(name for name in self.made if name in self.chosen), REST)

    def check(self) -> None:
        """Make sure that all chosen stems are made.

        Raises:
            BadOptionError: an instrument was chosen that does not play.
        """
        for name in self.chosen:
            if name not in self.made:
                raise BadOptionError(
                    f"the stem {name!r} was chosen, but this job makes {', '.join(self.made)}; add {name} to "
                    "the instruments that play, or choose other stems"
                )
