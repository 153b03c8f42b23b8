"""The songs of the sequencer LMMS that its Debian package carries, and which of their tracks are what.

Tracks are named by their place: "4" is the fifth of the song, "0.2" the third inside the first beat editor
(all beat editors of a song share their tracks). What plays samples of drums is drums without being named;
what is neither that nor named here is other. Bass tracks were told by name, by their notes and by where the
power of their sound lies. Songs whose tracks are no one stem are left out, and two that LMMS 1.2.2 crashed
on.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LmmsProject:
    """One song."""

    path: str
    """Below the folder of projects."""
    author: str
    licence: str
    bass: tuple[str, ...] = ()
    drums: tuple[str, ...] = ()
    """Synthesised ones."""

    @property
    def name(self) -> str:
        """For people and folders."""
        return self.path.rpartition("/")[2].partition(".")[0]


TRAINING_PROJECTS = (
    LmmsProject("demos/Alf42red-Mauiwowi.mmpz", "Armin Heller", "CC BY-SA 3.0", bass=("1",)),
    LmmsProject("demos/CapDan/CapDan-ReggaeTry.mmpz", "Der Daniel", "Artistic 2.0", bass=("6",)),
    LmmsProject("demos/CapDan/CapDan-ReggaetonTry.mmpz", "Der Daniel", "Artistic 2.0", bass=("6",)),
    LmmsProject(
        "demos/CapDan/CapDan-TwilightArea-OriginalByAlf42red.mmpz",
        "Der Daniel, Armin Heller",
        "CC BY-SA 3.0",
        bass=("4", "5"),
    ),
    LmmsProject(
        "demos/CapDan/CapDan-ZeroSumGame-OriginalByZakarra.mmpz",
        "Der Daniel",
        "Artistic 2.0",
        bass=("11", "12", "14"),
    ),
    LmmsProject("demos/EsoXLB-CPU.mmpz", "E.SoX", "Artistic 2.0", bass=("0.0", "0.1", "0.2")),
    LmmsProject("demos/Impulslogik-Zen.mmpz", "Impulslogik", "Artistic 2.0", bass=("0", "1", "2")),
    LmmsProject("demos/Oglsdl-Dr8v2.mmpz", "Ümit", "Artistic 2.0"),
    LmmsProject("demos/Saber-FinalStep.mmpz", "Saber Rastikerdar", "BSD-2-Clause", bass=("9",)),
    LmmsProject("demos/Skiessi/Skiessi-C64.mmpz", "Skiessi", "CC BY-SA 4.0", bass=("0",)),
    LmmsProject("demos/Skiessi/Skiessi-Onion.mmpz", "Skiessi", "CC BY-SA 4.0", bass=("1", "23")),
    LmmsProject("demos/StrictProduction-DearJonDoe.mmp", "StrictProduction", "GPL-2+"),
    LmmsProject("shorties/Crunk(Demo).mmp", "unnamed", "Artistic 2.0", bass=("1",)),
    LmmsProject("shorties/Skiessi-222.mmpz", "Skiessi", "GPL-2+", bass=("1",)),
)
HELD_OUT_PROJECTS = (  # of other authors
    LmmsProject("demos/Momo64-esp.mmpz", "mauro", "Artistic 2.0", bass=("0", "1"), drums=("20",)),
    LmmsProject(
        "demos/Settel-InnerRecreation.mmpz", "Achim Settelmeier", "Artistic 2.0", bass=("4",), drums=("6.6",)
    ),
    LmmsProject("demos/Thomasso-AxeFromThe80s.mmpz", "Thomasso", "Artistic 2.0", bass=("12",)),
    LmmsProject("shorties/DirtyLove.mmpz", "unnamed", "GPL-2+", bass=("3",)),
    LmmsProject("shorties/Surrender-Main.mmpz", "Peter Asplund", "Artistic 2.0", bass=("1",)),
)
