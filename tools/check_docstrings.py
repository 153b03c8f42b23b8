"""Check that docstrings begin with a verb or the name of a quantity, and that test names stay short.

    python tools/check_docstrings.py [PATH ...]

A docstring that begins with What, Who, How or Of describes a thing from behind: it names neither a quantity
nor an act. Those of modules, classes, functions and fields count. Without a path, all code is checked.
"""

import argparse
import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CODE = ("ugosa_server", "clients", "research", "tests", "tools", "bench")
FROM_BEHIND = re.compile(r"(?:What|Who|How|Of|Whether it)\b")
MAX_TEST_NAME = 60  # letters


def main() -> int:
    """Print each finding as `path:line: text`; return 1 if there is any."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="*", type=Path, default=[ROOT / folder for folder in CODE])
    findings = [finding for path in parser.parse_args().paths for finding in check(path)]
    print("\n".join(findings) or "docstrings and test names: as they should be")
    return min(1, len(findings))


def check(path: Path) -> Iterator[str]:
    """Yield the findings of a file, or of all Python files below a folder that are not generated."""
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    for file in files:
        if "wire" in file.parts:
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            match node:
                case ast.Expr(value=ast.Constant(value=str(text))) if FROM_BEHIND.match(text):
                    yield f"{file}:{node.lineno}: {text.splitlines()[0]!r} begins with {text.split()[0]}"
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                    if name.startswith("test_") and len(name) > MAX_TEST_NAME:
                        yield f"{file}:{node.lineno}: {name} has {len(name)} letters, not {MAX_TEST_NAME}"


if __name__ == "__main__":
    raise SystemExit(main())
