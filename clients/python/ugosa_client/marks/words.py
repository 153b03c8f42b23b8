"""Words of region names, one table for Python and Lua: `make wire` writes clients/reaper/ugosa/words.lua."""

from __future__ import annotations

ALIASES = {
    "drums": ("kit", "drum kit", "drumkit", "drum set", "drumset", "percussion", "perc", "beat"),
    "bass": ("bass guitar", "bassguitar", "bassline", "bass line", "e-bass", "sub bass"),
    "vocals": ("voice", "vox", "singer", "singing", "lead vocals", "lead vox", "lead voice", "vocalist"),
    "other": ("rest", "everything else", "accompaniment", "others"),
    "guitar": ("gtr", "guit"),
    "piano": ("keys", "keyboard"),
    "bassoon": ("bsn", "fagott", "fagotto"),
    "cello": ("vc", "vlc", "celli", "violoncello"),
    "clarinet": ("cl", "clar"),
    "doublebass": ("double bass", "bass", "contrabass", "string bass", "upright bass", "db", "kontrabass"),
    "flute": ("fl",),
    "horn": ("french horn", "hn", "cor"),
    "oboe": ("ob",),
    "saxophone": ("sax",),
    "trombone": ("tbn", "trb", "bone"),
    "trumpet": ("tpt", "trp"),
    "tuba": ("tba",),
    "viola": ("vla", "va", "viole"),
    "violin": ("vln", "vn", "violini"),
    "residual": ("residue", "remainder"),
}
"""Everyday names of each source, used where the model has that source."""
