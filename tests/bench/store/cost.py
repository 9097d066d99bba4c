"""What a daemon costs a run: the CPU of its whole tree with one that is on, against the same run with none.

    python tests/bench/store/cost.py [--pairs N] [--only PATH...] [--show]

A pair is a part of pandas' suite run both ways, right after each other, in an order that is drawn.  Off, the run
keeps its results in the store of its home; on, it sends them to a daemon by HTTP while it goes on.  The ratio is
the geometric mean over the pairs, with the 95 % interval of Student's t for it.  The daemon's own CPU is not
of the run's tree and stands in a line of its own, where it is added.  Every pair is added to a file at once, so
calls add up, as those of ``tests/bench/run.py``.  CPU is counted, not time, so a busy machine does little harm.
The exit code is 1 when the upper end of the interval is not below the aim.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1] / "support"), str(HERE.parents[1] / "suites")]

import venvs  # noqa: E402
from figures import FIGURES  # noqa: E402
from lab import INJECT, KEPT_ENV  # noqa: E402
from measure import measure  # noqa: E402
from run import Ground, ground, product  # noqa: E402

AIM = 1.02
LEAST_PAIRS = 5  # fewer say nothing about how they scatter
PART = ("tests/base", "tests/dtypes", "tests/series")
FILE = venvs.BUILD / "bench" / "cost.jsonl"
Pair = dict[str, float]  # CPU seconds: off, on, daemon


# ---------------------------------------------------------------- one run


@dataclass
class Home:
    """Where one run keeps what it has."""

    state: Path
    env: dict[str, str]
    zb: Path

    def daemon_up(self) -> int:
        local = self.state / "dagz/local.env"
        local.mkdir(parents=True)
        (local / "daemon.yaml").write_text("port: 0\n")
        self._zb("up", "--bg")
        self.env["DAGZ_URL"] = (local / "daemon.url").read_text().strip()
        return int((local / "daemon.pid").read_text().split()[0])

    def daemon_down(self) -> None:
        self._zb("down")

    def _zb(self, *args: str) -> None:
        argv = [self.zb, "daemon", *args]
        subprocess.run(argv, env=self.env, cwd=self.state, check=True, stdout=subprocess.DEVNULL)


def cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def one_run(place: Ground, args: Sequence[str], has_daemon: bool) -> tuple[float, float]:
    """CPU of the run's tree and of its daemon, in seconds."""
    state = Path(tempfile.mkdtemp(prefix="cost-"))
    env = {k: os.environ[k] for k in KEPT_ENV if k in os.environ}
    env.update(
        HOME=str(state),
        DAGZ_HOME=str(state / "dagz"),
        DAGZ_URL="none",
        PYTHONPATH=str(INJECT),
        PYTEST_DEBUG_TEMPROOT=str(state),
        LANG="C.UTF-8",
    )
    python = place.python("dagz")
    home = Home(state, env, python.with_name("zb"))
    pid = home.daemon_up() if has_daemon else 0
    summary = state / "summary.json"
    argv = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "--dagz", "--dagz-workers=2"]
    try:
        began = cpu_of(pid) if pid else 0.0
        argv += [f"--dagz-summary={summary}", *args]
        with ProcessPoolExecutor(1) as apart:  # which takes in what loses its parent: not our daemon
            got = apart.submit(measure, argv, place.start, home.env, state / "out.txt").result()
        daemon = cpu_of(pid) - began if pid else 0.0
    finally:
        if pid:
            home.daemon_down()
    if got.code not in (0, 1):
        raise SystemExit(f"exit {got.code}\n{(state / 'out.txt').read_text('utf-8', 'replace')[-2000:]}")
    told = json.loads(summary.read_text())
    if told["pending"] or told["lost"] or told["not_run"]:
        raise SystemExit(f"the run was not whole: {told}")
    shutil.rmtree(state, ignore_errors=True)
    return got.cpu_s, daemon


def one_pair(place: Ground, args: Sequence[str], first_is_on: bool) -> Pair:
    pair: Pair = {}
    for is_on in (first_is_on, not first_is_on):
        cpu, daemon = one_run(place, args, is_on)
        pair["on" if is_on else "off"] = cpu
        if is_on:
            pair["daemon"] = daemon
    return pair


# ---------------------------------------------------------------- what it comes to


def t_quantile(freedom: int) -> float:
    """97.5 % of Student's t (Cornish and Fisher): within 0.01 from 4 degrees of freedom on."""
    z = statistics.NormalDist().inv_cdf(0.975)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + sum(term / freedom ** (power + 1) for power, term in enumerate(terms))


def interval(ratios: Sequence[float]) -> tuple[float, float, float]:
    """The geometric mean, and the ends of its 95 % interval."""
    logs = [math.log(ratio) for ratio in ratios]
    middle = statistics.fmean(logs)
    half = t_quantile(len(logs) - 1) * statistics.stdev(logs) / math.sqrt(len(logs))
    return math.exp(middle), math.exp(middle - half), math.exp(middle + half)


def tell(pairs: Sequence[Pair]) -> bool:
    """Print the ratios; is the aim met?"""
    if len(pairs) < LEAST_PAIRS:
        print(f"{len(pairs)} pairs: {pairs}; an interval needs {LEAST_PAIRS}")
        return True
    ways = {
        "CPU of the run's tree": [pair["on"] / pair["off"] for pair in pairs],
        "with the daemon's own": [(pair["on"] + pair["daemon"]) / pair["off"] for pair in pairs],
    }
    upper = 0.0
    for name, ratios in ways.items():
        middle, low, high = interval(ratios)
        upper = upper or high
        spread = f"one pair: {min(ratios):.4f}-{max(ratios):.4f}"
        print(
            f"{name}, on against off: {middle:.4f} (95 %: {low:.4f}-{high:.4f}, {len(pairs)} pairs, {spread})"
        )
    off = statistics.median(pair["off"] for pair in pairs)
    print(f"upper end {upper:.4f}, aim < {AIM}; off, the median run took {off:.1f} s of CPU")
    return upper < AIM


def kept(key: str) -> list[Pair]:
    lines = map(json.loads, FILE.read_text().splitlines()) if FILE.exists() else ()
    return [line["pair"] for line in lines if line["key"] == key]


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--only", nargs="*", default=PART, metavar="PATH", help="parts of pandas' suite")
    parser.add_argument("--show", action="store_true", help="measure nothing, say what was measured")
    told = parser.parse_args(argv)
    place = ground(FIGURES["pandas-2"])
    key = f"{product(place.venv)} {' '.join(told.only)}"
    draw = random.Random()
    for number in range(0 if told.show else told.pairs):
        began = time.monotonic()
        pair = one_pair(place, told.only, draw.random() < 0.5)
        FILE.parent.mkdir(parents=True, exist_ok=True)
        with open(FILE, "a") as file:
            file.write(json.dumps({"key": key, "pair": pair}) + "\n")
        took = time.monotonic() - began
        said = ", ".join(f"{name} {seconds:.2f}" for name, seconds in sorted(pair.items()))
        print(f"pair {number + 1} of {told.pairs}, {took:.0f} s: {said}", file=sys.stderr, flush=True)
    return 0 if tell(kept(key)) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
