"""Agreement of the guard with the truth: each method with the guard against itself without, on every song."""

from __future__ import annotations

import numpy as np

from ugosa_research.evaluation.results import Results

GUARDED, UNGUARDED = " guard=on", " guard=off"
MARGIN_DB = 0.05  # of a song's mean over stems; what changed it less neither helped nor did not


def guard_table(results: Results, metric: str) -> str:
    """Return a table of the methods that were run with `guard=on` and `guard=off` beside B0; empty = none.

    The guard agrees if it kept an adapted network where one without a guard is better than the base, or
    the base where it is worse; songs within `MARGIN_DB` agree with anything.
    """
    pairs = [
        (method.replace(GUARDED, ""), method, method.replace(GUARDED, UNGUARDED))
        for method in results.methods
        if GUARDED in method and method.replace(GUARDED, UNGUARDED) in results.methods
    ]
    if "B0" not in results.methods or not pairs:
        return ""
    base = results.mean_over_stems("B0", metric)
    lines = [
        f"Gain over B0 ({metric}, mean of a song's stems, dB); whether the guard agreed with the truth:",
        "",
        "| method | songs | without guard: median | worst | with guard: median | worst | kept | agreed |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, guarded, unguarded in pairs:
        kept = {
            run.song: run.kept_epoch
            for run in results.runs
            if run.method == guarded and run.kept_epoch is not None
        }
        with_guard, without = (results.mean_over_stems(m, metric) for m in (guarded, unguarded))
        songs = [song for song in base if song in kept]
        if not songs:
            continue
        gains = np.array([[of[song] - base[song] for song in songs] for of in (without, with_guard)])
        agreed = sum(
            abs(gain) <= MARGIN_DB or (gain > 0) == (kept[song] > 0)
            for song, gain in zip(songs, gains[0], strict=True)
        )
        cells = [f"{value:+.2f}" for row in gains for value in (np.median(row), row.min())]
        n_kept = sum(kept[song] > 0 for song in songs)
        lines.append(f"| {name} | {len(songs)} | {' | '.join(cells)} | {n_kept} | {agreed} |")
    return "\n".join(lines) if len(lines) > 4 else ""
