"""Regenerate the committed protobuf and gRPC code of server and client from protos/.

Usage: python tools/generate_wire.py [--check]

With --check nothing is written; the exit status says whether what is committed is what the protos give.
"""

from __future__ import annotations

import argparse
import re
import sys
import sysconfig
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
PACKAGES = {
    "ugosa_server.wire": ROOT / "ugosa_server" / "wire",
    "ugosa_client.wire": ROOT / "clients" / "python" / "ugosa_client" / "wire",
}


def compile_protos(out_dir: Path) -> None:
    sources = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))
    arguments = [
        "protoc",
        f"-I{PROTOS}",
        f"-I{files('grpc_tools') / '_proto'}",
        f"--plugin=protoc-gen-mypy_grpc={Path(sysconfig.get_path('scripts'), 'protoc-gen-mypy_grpc')}",
        f"--python_out={out_dir}",
        f"--pyi_out={out_dir}",
        f"--grpc_python_out={out_dir}",
        f"--mypy_grpc_out={out_dir}",
        *sources,
    ]
    if protoc.main(arguments) != 0:
        sys.exit("protoc failed")


def rewrite_imports(text: str, package: str) -> str:
    """Make `ugosa.v1` an inner package, so that the generated code needs no place on sys.path."""
    text = re.sub(r"^from ugosa\.v1 import", f"from {package}.ugosa.v1 import", text, flags=re.MULTILINE)
    return re.sub(r"^import ugosa\.v1\.", f"import {package}.ugosa.v1.", text, flags=re.MULTILINE)


def expected_files() -> dict[Path, str]:
    expected: dict[Path, str] = {}
    with tempfile.TemporaryDirectory() as scratch:
        compile_protos(Path(scratch))
        for generated in sorted(Path(scratch).rglob("*.py*")):
            text = generated.read_text()
            for package, folder in PACKAGES.items():
                expected[folder / generated.relative_to(scratch)] = rewrite_imports(text, package)
    for folder in PACKAGES.values():
        for inner in (folder, folder / "ugosa", folder / "ugosa" / "v1"):
            expected[inner / "__init__.py"] = '"""Generated protobuf and gRPC code."""\n'
    return expected


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    expected = expected_files()
    present = {
        path for folder in PACKAGES.values() for path in folder.rglob("*.py*") if path.suffix != ".pyc"
    }
    stale = [path for path, text in expected.items() if not path.exists() or path.read_text() != text]
    orphans = sorted(present - set(expected))
    if check:
        for path in [*stale, *orphans]:
            print(f"not what the protos give: {path.relative_to(ROOT)}")
        sys.exit(1 if stale or orphans else 0)
    for path, text in expected.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for path in orphans:
        path.unlink()
    print(f"{len(expected)} files")


if __name__ == "__main__":
    main()
