"""C is as clang-format 14 leaves it, Python as ruff leaves it; skipped where there is neither."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import tree

FORMATTER = 14  # releases lay some lines out differently; one of them decides


def find_clang_format() -> str | None:
    for name in (f"clang-format-{FORMATTER}", "clang-format"):
        if not shutil.which(name):
            continue
        version = subprocess.check_output([name, "--version"], text=True)
        if re.search(rf"version {FORMATTER}\.", version):
            return name
    return None


def badly_formatted_c(root: Path, program: str) -> Iterator[str]:
    names = [str(path) for path in tree.files(root, ".c", ".h")]
    done = subprocess.run([program, "--dry-run", "--Werror", *names], stderr=subprocess.PIPE, text=True)
    told = set()
    for line in done.stderr.splitlines():
        match = re.match(r"(.*?):(\d+):\d+: error", line)
        if match and match[1] not in told:
            told.add(match[1])
            yield f"{Path(match[1]).relative_to(root)}:{match[2]}: run clang-format -i on it"


def find_ruff(root: Path) -> str | None:
    own = root / "build/venv/bin/ruff"
    return str(own) if own.exists() else shutil.which("ruff")


def bad_python(root: Path, program: str) -> Iterator[str]:
    checks = (["check", "--quiet", "--output-format=concise"], ["format", "--check", "--quiet"])
    for arguments in checks:
        done = subprocess.run([program, *arguments, "."], cwd=root, stdout=subprocess.PIPE, text=True)
        for line in done.stdout.splitlines():
            yield f"ruff {arguments[0]}: {line}"
        if done.returncode and not done.stdout.strip():
            yield f"ruff {arguments[0]}: exit {done.returncode}"


def rule(root: Path) -> Iterator[str]:
    clang_format = find_clang_format()
    ruff = find_ruff(root)
    if not clang_format and not ruff:
        print("neither clang-format 14 nor ruff is here")
        sys.exit(tree.SKIPPED)
    if clang_format:
        yield from badly_formatted_c(root, clang_format)
    if ruff:
        yield from bad_python(root, ruff)


if __name__ == "__main__":
    tree.main(rule)
