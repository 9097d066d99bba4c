"""Measure the product against its peers, interleaved, and say ratios.

    python tests/bench/run.py [FIGURE...] [--repeat N] [--without dagz] [--show]     (default: all)

All contenders of a figure take turns, so that what else the machine does meets them alike.  A ratio
is that of the medians; beside it stand the least and the greatest ratio within one turn.  Every turn is
added to a file at once, so calls add up: stop when you like, go on later, and --show what there is.
Absolute seconds are of this machine only; they are in the file and not printed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "support"), str(HERE.parent / "suites")]

import venvs  # noqa: E402
from figures import FIGURES, Figure  # noqa: E402
from lab import INJECT, KEPT_ENV, read_lines  # noqa: E402
from measure import Measure, measure  # noqa: E402
from table import SUITES  # noqa: E402
from turns import Turn, Turns, tell  # noqa: E402

WORK = venvs.BUILD / "bench"
ASKED = 15  # times that zb is asked
CONTENDERS: dict[str, list[str]] = {
    "plain": ["-p", "no:dagz", "-p", "no:xdist"],
    "xdist": ["-p", "no:dagz", "-n", "{workers}"],
    "worksteal": ["-p", "no:dagz", "-n", "{workers}", "--dist=worksteal"],
    "dagz": ["--dagz", "--dagz-workers={workers}"],
    "absent": ["-p", "no:xdist"],
    "present": ["-p", "no:xdist"],
}


@dataclass
class Ground:
    """Where a figure's suite is and what runs it."""

    venv: Path
    start: Path
    args: Sequence[str]
    bare: Path | None = None  # the same environment without the product

    def python(self, contender: str) -> Path:
        return (self.bare if contender == "absent" and self.bare else self.venv) / "bin/python"


def trivial(tests: int, files: int) -> Path:
    """A generated suite of tests that do nothing, made once."""
    where = WORK / f"trivial-{tests}-{files}"
    if not (where / "pytest.ini").exists():
        shutil.rmtree(where, ignore_errors=True)
        where.mkdir(parents=True)
        each = tests // files
        for number in range(files):
            body = "\n".join(f"def test_{n:04}():\n    pass\n" for n in range(each))
            (where / f"test_{number:04}.py").write_text(body)
        (where / "pytest.ini").write_text("[pytest]\n")
    return where


def ground(figure: Figure) -> Ground:
    if figure.suite == "pandas":
        suite = SUITES["pandas"]
        venv = venvs.make("bench-pandas", [suite.pytest, venvs.XDIST, suite.package, *suite.requires])
        venvs.put_product(venv)
        return Ground(venv, venvs.site_packages(venv) / suite.below, suite.args)
    _, tests, files = figure.suite.split(":")
    venv = venvs.make("bench", [venvs.PYTEST, venvs.XDIST])
    venvs.put_product(venv)
    bare = venvs.make("bench-bare", [venvs.PYTEST, venvs.XDIST, "iniconfig>0"])
    return Ground(venv, trivial(int(tests), int(files)), (), bare)


def once(place: Ground, figure: Figure, contender: str) -> dict[str, float]:
    """One run: its measured values by name."""
    state = Path(tempfile.mkdtemp(prefix="bench-", dir=WORK))
    env = {k: os.environ[k] for k in KEPT_ENV if k in os.environ}
    env.update(
        HOME=str(state),
        DAGZ_HOME=str(state / "dagz"),
        PYTHONPATH=str(INJECT),
        DZT_CLOCK=str(state / "clock"),
        PYTEST_DEBUG_TEMPROOT=str(state),
        LANG="C.UTF-8",
    )
    way = [part.format(workers=figure.workers) for part in CONTENDERS[contender]]
    clock = [] if figure.args else ["-p", "dzt_clock"]
    argv = [place.python(contender), "-m", "pytest", "-q", "-p", "no:cacheprovider", *clock]
    argv += [*way, *figure.args, *place.args]
    got = measure(list(map(str, argv)), place.start, env, state / "out.txt", figure.memory)
    if got.code not in (0, 1):
        text = (state / "out.txt").read_text("utf-8", "replace")
        raise SystemExit(f"{contender}: exit {got.code}\n{text[-2000:]}")
    values = read(got, read_lines(state / "clock"))
    if figure.asks_zb and contender == "dagz":
        values["zb"] = ask_zb(place, env)
    shutil.rmtree(state, ignore_errors=True)
    return values


def read(got: Measure, clocks: Sequence[Mapping[str, float]]) -> dict[str, float]:
    workers = [c for c in clocks if c["worker"]] or list(clocks)
    values = {"wall": got.wall_s, "cpu": got.cpu_s, "pss": got.pss_kb, "kept": got.kept_kb}
    if workers:
        values["first"] = min(c["first"] for c in workers) - got.began
        values["tail"] = got.ended - max(c["last"] for c in workers)
        values["tests"] = sum(c["tests"] for c in workers)
    return values


def ask_zb(place: Ground, env: Mapping[str, str]) -> float:
    """Seconds that `zb tests` takes on what was just run."""
    zb, took = place.python("dagz").with_name("zb"), []
    for _ in range(ASKED):
        began = time.monotonic()
        subprocess.run(
            [zb, "tests", "latest"], cwd=place.start, env=env, check=True, stdout=subprocess.DEVNULL
        )
        took.append(time.monotonic() - began)
    return median(took)


def turn(place: Ground, figure: Figure, contenders: Sequence[str]) -> Turn:
    """Each contender once, or `inner` times in alternation."""
    runs = [{c: once(place, figure, c) for c in contenders} for _ in range(figure.inner)]
    return {c: {n: median(r[c][n] for r in runs) for n in runs[0][c]} for c in contenders}


def add_grown(figure: Figure, with_all: Turn, contenders: Sequence[str]) -> None:
    """Bytes that were kept for each test which the base has not."""
    base = replace(figure, suite=figure.base, base="")
    with_few = turn(ground(base), base, contenders)
    more = int(figure.suite.split(":")[1]) - int(base.suite.split(":")[1])
    for name, values in with_all.items():
        values["grown"] = (values["kept"] - with_few[name]["kept"]) * 1024 / more


def run(name: str, repeat: int, without: Sequence[str], turns: Turns) -> None:
    figure = FIGURES[name]
    place = ground(figure)
    contenders = [c for c in figure.contenders if c not in without]
    for number in range(1, repeat + 1):
        began = time.monotonic()
        new = turn(place, figure, contenders)
        if figure.base:
            add_grown(figure, new, contenders)
        turns.add(name, new)
        took = time.monotonic() - began
        print(f"{name}: turn {number} of {repeat}, {took:.0f} s", file=sys.stderr, flush=True)


def product(venv: Path) -> str:
    """Names what is installed: its files, the interpreter and pytest."""
    digest = hashlib.sha256()
    found = venvs.site_packages(venv)
    for record in sorted((found / "dagz").rglob("*")):
        if record.is_file() and record.suffix != ".pyc":
            digest.update(record.read_bytes())
    for pattern in ("pytest-*.dist-info", "pytest_xdist-*.dist-info"):
        digest.update("".join(path.name for path in found.glob(pattern)).encode())
    return digest.hexdigest()[:12]


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="FIGURE", help=", ".join(FIGURES))
    parser.add_argument("--repeat", type=int, help="turns of each figure (default: as its table says)")
    parser.add_argument("--without", action="append", default=[], metavar="CONTENDER")
    parser.add_argument("--turns", type=Path, default=WORK / "turns.jsonl", help="where turns are added")
    parser.add_argument("--show", action="store_true", help="measure nothing, say what was measured")
    args = parser.parse_args(argv)
    names = args.names or list(FIGURES)
    unknown = [name for name in names if name not in FIGURES]
    if unknown:
        parser.error(f"unknown figure: {', '.join(unknown)}")
    WORK.mkdir(parents=True, exist_ok=True)
    turns = Turns(args.turns, product(ground(FIGURES["startup"]).venv))
    for name in names:
        if not args.show:
            run(name, args.repeat or FIGURES[name].repeat, args.without, turns)
        tell(name, FIGURES[name], turns.of(name))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
