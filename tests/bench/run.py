"""Measure the product against its peers, interleaved, and say ratios.

    python tests/bench/run.py [FIGURE...] [--repeat N] [--without dagz] [--json FILE]     (default: all)

All contenders of a figure take turns, so that what else the machine does meets them alike.  A ratio
is that of the medians; beside it stand the least and the greatest ratio within one turn.  Absolute
seconds are of this machine only and are kept in the JSON, not printed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "support"), str(HERE.parent / "suites")]

import venvs  # noqa: E402
from figures import FIGURES, Figure, Row  # noqa: E402
from lab import INJECT, KEPT_ENV, read_lines  # noqa: E402
from measure import Measure, measure  # noqa: E402
from table import SUITES  # noqa: E402

WORK = venvs.BUILD / "bench"
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
    shutil.rmtree(state, ignore_errors=True)
    return values


def read(got: Measure, clocks: Sequence[Mapping[str, float]]) -> dict[str, float]:
    workers = [c for c in clocks if c["worker"]] or list(clocks)
    values = {"wall": got.wall_s, "cpu": got.cpu_s, "pss": got.pss_kb, "peak": got.pss_peak_kb}
    if workers:
        values["first"] = min(c["first"] for c in workers) - got.began
        values["tail"] = got.ended - max(c["last"] for c in workers)
        values["tests"] = sum(c["tests"] for c in workers)
    return values


Turns = list[dict[str, dict[str, float]]]


def value(turn: Mapping[str, Mapping[str, float]], contender: str, name: str) -> float:
    if name == "extra":
        return turn[contender]["cpu"] - turn["plain"]["cpu"]
    return turn[contender][name]


def judge(row: Row, turns: Turns) -> str:
    def of(turn: Mapping[str, Mapping[str, float]]) -> float:
        ours = value(turn, row.ours, row.value)
        if not row.peer:
            return ours
        peer = value(turn, row.peer, row.value)
        return ours - peer if row.difference else ours / peer

    middle = {c: {n: median(t[c][n] for t in turns) for n in turns[0][c]} for c in turns[0]}
    result, each = of(middle), [of(turn) for turn in turns]
    mark = "ok  " if result <= row.target else "MISS"
    unit = f" {row.unit}" if row.unit else ""
    spread = f"{min(each):.3f}-{max(each):.3f}"
    return f"{mark} {result:.3f}{unit} (target {row.target:.3f}, spread {spread}, {len(turns)} turns)  {row.text}"


def turn(place: Ground, figure: Figure, contenders: Sequence[str]) -> dict[str, dict[str, float]]:
    """Each contender once, or `inner` times in alternation."""
    runs = [{c: once(place, figure, c) for c in contenders} for _ in range(figure.inner)]
    return {c: {n: median(r[c][n] for r in runs) for n in runs[0][c]} for c in contenders}


def run(name: str, repeat: int, without: Sequence[str]) -> Turns:
    figure = FIGURES[name]
    place = ground(figure)
    contenders = [c for c in figure.contenders if c not in without]
    turns: Turns = []
    for _ in range(repeat):
        turns.append(turn(place, figure, contenders))
        print(f"{name}: turn {len(turns)} of {repeat}", file=sys.stderr, flush=True)
    tests = {c: turns[0][c].get("tests") for c in contenders}
    print(f"{name}: {figure.suite}, {figure.workers} workers, tests {tests}")
    for row in figure.rows:
        if {row.ours, row.peer, *(["plain"] if row.value == "extra" else [])} - {""} <= set(contenders):
            print("   ", judge(row, turns), flush=True)
    return turns


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="FIGURE", help=", ".join(FIGURES))
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--without", action="append", default=[], metavar="CONTENDER")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    names = args.names or list(FIGURES)
    unknown = [name for name in names if name not in FIGURES]
    if unknown:
        parser.error(f"unknown figure: {', '.join(unknown)}")
    WORK.mkdir(parents=True, exist_ok=True)
    results = {name: run(name, args.repeat, args.without) for name in names}
    if args.json:
        rows = {name: [asdict(row) for row in FIGURES[name].rows] for name in names}
        args.json.write_text(json.dumps({"rows": rows, "turns": results}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
