"""Write docs/settings.md from the fields of the server's configuration.

python tools/generate_settings.py [--check]
"""

import sys
from pathlib import Path

from ugosa_server.config import default_text, settings_help

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"
HEAD = """\
# Settings of the server

Each is a name in the TOML file of `ugosa-server serve --config FILE`, and a flag that comes on top of it:
`--state-dir` for `state_dir`, `--gpu-tf32` or `--no-gpu-tf32` for `gpu_tf32`, `--model-dir` once for each of
`model_dirs`. The file writes a list in brackets, `model_dirs = ["/opt/ugosa/models"]`.
This page is made by `tools/generate_settings.py`.

| setting | default | meaning |
|---|---|---|
"""


def page() -> str:
    """Return the page."""
    rows = []
    for setting, text in settings_help().items():
        default = default_text(setting)
        rows.append(f"| `{setting.name}` | {f'`{default}`' if default else ''} | {text} |\n")
    return HEAD + "".join(rows)


def main() -> int:
    """Write the page, or say that it is out of date."""
    if "--check" not in sys.argv:
        PAGE.write_text(page(), encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != page():
        print(f"{PAGE} does not fit ugosa_server/config.py: run tools/generate_settings.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
