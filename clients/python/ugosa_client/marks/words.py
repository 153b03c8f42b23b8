"""Words of region names; `make wire` writes them into clients/reaper/ugosa/words.lua."""

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

SILENT_BEFORE = ("no", "not", "without", "mute", "minus", "except", "all but", "everything but", "tacet")
"""Before names: silent."""
SILENT_AFTER = ("off", "out", "mute", "muted", "silent", "tacet")
"""After names: silent."""
ONLY_BEFORE = ("only", "just", "solo")
"""Before names: these play, all others are silent."""
ONLY_AFTER = ("only",)
"""After names: the same."""
SURE_BEFORE = ("no", "not", "without", "only")
"""Words that make a mark whatever follows; "just" and "solo" also begin names of sections."""
SPELLED_OUT = {"w/o": "without", "w/out": "without"}
"""Abbreviations with a sign in them that would otherwise part names."""
LOOK_ALIKES = {
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-"),
    **dict.fromkeys("\u200b\u200e\u2060\ufeff\u201c\u201d\u201e", ""),
    "\u00a0": " ",
}
"""Letters that systems put in the place of others: dashes, and what is not seen or is a quotation mark."""
PHRASES = {
    "instrumental": "-vocals",
    "acapella": "only vocals",
    "a capella": "only vocals",
    "acappella": "only vocals",
    "a cappella": "only vocals",
}
"""Whole items, and the label that each stands for."""
MODELS_WITH = {"guitar": "htdemucs_6s", "piano": "htdemucs_6s"}
"""Instruments that most models put into `other`, and a model that has them as sources."""
