"""What the rules share: which files are ours, and how a rule ends."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

SKIPPED = 77  # ctest shows it as skipped


def files(root: Path, *suffixes: str) -> Iterator[Path]:
    """Files that git knows or would take, by suffix; all of them without one."""
    for name in sorted(set(names(root))):
        path = root / name
        if path.is_file() and (not suffixes or path.suffix in suffixes):
            yield path


def names(root: Path) -> Iterator[str]:
    """Paths below the root; of an unpacked archive, which has no git, all but what was built."""
    command = ["git", "-c", "safe.directory=*", "-C", str(root), "ls-files", "-z"]
    command += ["--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    if done.returncode == 0:
        yield from filter(None, done.stdout.split("\0"))
        return
    for path in root.rglob("*"):
        name = path.relative_to(root).as_posix()
        if not name.startswith(("build/", ".git/")) and "__pycache__" not in name:
            yield name


def main(rule: Callable[[Path], Iterable[str]]) -> None:
    """Run `rule` over the tree named on the command line; exit 1 if it yields a line."""
    problems = list(rule(Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()))
    print("\n".join(problems))
    sys.exit(bool(problems))
