"""What the rules share: which files are ours, and how a rule ends."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

SKIPPED = 77  # ctest shows it as skipped


def files(root: Path, *suffixes: str) -> Iterator[Path]:
    """Files that git knows or would take, by suffix; all of them without one."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    for name in sorted(set(done.stdout.split("\0")) - {""}):
        path = root / name
        if path.is_file() and (not suffixes or path.suffix in suffixes):
            yield path


def main(rule: Callable[[Path], Iterable[str]]) -> None:
    """Run `rule` over the tree named on the command line; exit 1 if it yields a line."""
    problems = list(rule(Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()))
    print("\n".join(problems))
    sys.exit(bool(problems))
