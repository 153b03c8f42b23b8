"""Write what follows from the table of a job's options: the client's copy of it, and docs/options.md.

Usage: python tools/generate_options.py [--check]

With --check nothing is written; the exit status says whether what is committed is what the table gives.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ugosa_server.adaptation.presets import PRESETS, AdaptationOptions
from ugosa_server.jobs.option_table import OPTIONS, JobOption, number_text, options_of
from ugosa_server.jobs.runs import JobOptions

ROOT = Path(__file__).resolve().parent.parent
CLIENT_TABLE = ROOT / "clients" / "python" / "ugosa_client" / "option_table.json"
DOCS = ROOT / "docs" / "options.md"

INTRODUCTION = """\
# Options of a job

<!-- Generated from ugosa_server/jobs/option_table.py by tools/generate_options.py; do not edit. -->

Every option is a field of `JobOptions` in the API and a flag of `ugosa separate`, `ugosa submit` and
`ugosa batch`. An option that is left out comes from the preset, else from the model's own defaults
(see its card in [models](models.md)), else it has the default below, which for what the paper has (Cantisani
et al. 2021) is the paper's. `ugosa separate` asks for `--start-from auto` by itself, which takes a FILE of
`ugosa adapter get` too, and on a terminal for `--base-stems early`; a batch asks for `--page off`. The report
of a job lists every option as it was used.
"""
PRESETS_TEXT = """\
## Presets

`--preset NAME` sets some options at once; those that are given beside it win. S is the number of
the model's sources.
"""


def flag(option: JobOption) -> str:
    return option.flag or "--" + option.name.replace("_", "-")


def client_table() -> str:
    """Return the rows that become flags of the client: those with plain values."""
    rows = [
        {
            "name": option.name,
            "field": option.client_field or option.owner_field,
            "kind": option.kind,
            "flag": flag(option),
            "metavar": option.metavar,
            "choices": option.choices,
            "help": help_text(option),
        }
        for option in OPTIONS
        if option.kind != "message"
    ]
    return json.dumps(rows, indent=1, ensure_ascii=False) + "\n"


def help_text(option: JobOption) -> str:
    """Return the help of the flag: meaning, values, and the default."""
    default = plain(option.default)
    whose = "default" if option.owner is JobOptions else "paper"
    notes = [note for note in (option.range_text, default and f"{whose}: {default}") if note]
    return option.help.replace("`", "") + (f" ({'; '.join(notes)})" if notes else "")


def plain(value: object) -> str:
    """Return a default as people write it; empty where there is none."""
    return number_text(value) if isinstance(value, int | float) else str(value or "")


def docs() -> str:
    lines = [
        INTRODUCTION,
        "| flag | field in the API | meaning | values | default |",
        "|---|---|---|---|---|",
    ]
    for option in OPTIONS:
        values = ", ".join(f"`{choice}`" for choice in option.choices) or option.range_text
        symbol = f"{option.symbol}: " if option.symbol else ""
        words = option.metavar.replace("|", r"\|")  # else it ends the cell
        lines.append(
            f"| `{flag(option)} {words}` | `{option.name}` | {symbol}{option.help} | {values} |"
            f" {plain(option.default)} |"
        )
    lines += ["", PRESETS_TEXT, "| preset | sets | leaves the rest to |", "|---|---|---|"]
    names = {option.owner_field: option for option in options_of(AdaptationOptions)}
    for name, preset in PRESETS.items():
        changes = [f"`{flag(names[field])} {plain(value)}`" for field, value in preset.changes.items()]
        if preset.averages_silence:
            changes = [change.replace("--lambda 1", "--lambda 1/S") for change in changes]
        rest = "the model, then the paper" if preset.uses_model_defaults else "the paper"
        lines.append(f"| `{name}` | {', '.join(changes) or 'nothing'} | {rest} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    for path, text in ((CLIENT_TABLE, client_table()), (DOCS, docs())):
        if not check:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            sys.exit(f"not what the table of options gives: {path.relative_to(ROOT)}; run `make wire`")


if __name__ == "__main__":
    main()
