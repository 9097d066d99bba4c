"""How long zb takes to open a large job, and how much memory: 240,000 tests and 1,000,000 spans.

    python tests/bench/store/open.py [--build build/release] [--tests N] [--spans N] [--rounds N]

The commands take turns, so that what else the machine does meets all of them.  One line of JSON for each:
milliseconds from start to end (least, median, greatest), CPU of it, and the peak of resident memory, which
counts pages of the store's file as well.  The exit code is 1 when an aim was missed by the least.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
AIM_MS, AIM_MIB = 150, 64
COMMANDS = (["tests"], ["tests", "latest", "outcome:failed"], ["job"], ["tests", "latest", "--sort=duration"])
WITH_AIM = 3  # the first ones
PAGES = ("", "/tests?limit=1000", "/tests?q=outcome:failed")


# Peak of a program's memory, in KiB.  A process that was started from a large one has that one's peak until
# exec, and the kernel keeps it: so from a small one.
PEAK = """
import os, sys
pid = os.fork()
if pid == 0:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.execv(sys.argv[1], sys.argv[1:])
print(os.wait4(pid, 0)[2].ru_maxrss)
"""


def peak_mib(argv: list[str], env: dict[str, str], cwd: Path) -> float:
    done = subprocess.run(
        [sys.executable, "-ISc", PEAK, *argv], env=env, cwd=cwd, check=True, capture_output=True, text=True
    )
    return int(done.stdout) / 1024


def once(argv: list[str], env: dict[str, str], cwd: Path) -> tuple[float, float]:
    """Milliseconds, and milliseconds of CPU."""
    start = time.perf_counter()
    process = subprocess.Popen(argv, env=env, cwd=cwd, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    took = time.perf_counter() - start
    if status != 0:
        sys.exit(f"{argv} failed")
    return took * 1e3, (used.ru_utime + used.ru_stime) * 1e3


def tell(name: str, times: list[float], **more: object) -> None:
    line = {"what": name, "least_ms": round(min(times), 1), "median_ms": round(statistics.median(times), 1)}
    print(json.dumps(line | {"greatest_ms": round(max(times), 1)} | more), flush=True)


def files(zb: Path, env: dict[str, str], cwd: Path, rounds: int) -> bool:
    """Each command reads the store's files."""
    seen: dict[int, list[tuple[float, float]]] = {i: [] for i in range(len(COMMANDS))}
    for _ in range(rounds):
        for i, command in enumerate(COMMANDS):
            seen[i].append(once([str(zb), *command], env, cwd))
    good = True
    for i, command in enumerate(COMMANDS):
        times, cpu = zip(*seen[i], strict=True)
        mib = peak_mib([str(zb), *command], env, cwd)
        met = min(times) < AIM_MS and mib < AIM_MIB
        good &= met or i >= WITH_AIM
        aim = {"aim_met": met} if i < WITH_AIM else {}
        tell(
            " ".join(["zb", *command]),
            list(times),
            cpu_ms=round(statistics.median(cpu), 1),
            mib=round(mib, 1),
            **aim,
        )
    return good


def pages(zb: Path, env: dict[str, str], cwd: Path, rounds: int) -> None:
    """The same from a daemon: a job's document and pages of its tests."""
    home = Path(env["DAGZ_HOME"])
    (home / "local.env/daemon.yaml").write_text("port: 0\n")
    subprocess.run([zb, "daemon", "up", "--bg"], env=env, cwd=cwd, check=True, stdout=subprocess.DEVNULL)
    try:
        url = (home / "local.env/daemon.url").read_text().strip()
        with urllib.request.urlopen(f"{url}/api/v1/jobs", timeout=60) as answer:
            job = json.load(answer)["jobs"][0]["id"]
        times: dict[str, list[float]] = {page: [] for page in PAGES}
        for _ in range(rounds):
            for page in PAGES:
                start = time.perf_counter()
                with urllib.request.urlopen(f"{url}/api/v1/jobs/{job}{page}", timeout=60) as answer:
                    answer.read()
                times[page].append((time.perf_counter() - start) * 1e3)
        for page in PAGES:
            tell(f"GET /api/v1/jobs/JOB{page}", times[page])
    finally:
        subprocess.run([zb, "daemon", "down"], env=env, cwd=cwd, check=True, stdout=subprocess.DEVNULL)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--build", type=Path, default=ROOT / "build/release")
    parser.add_argument("--tests", type=int, default=240_000)
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=20)
    told = parser.parse_args()
    programs = told.build.resolve() / "bin"
    with tempfile.TemporaryDirectory(prefix="dagz-open-") as place:
        home, project = Path(place, "home"), Path(place, "project")
        project.mkdir()
        env = {**os.environ, "DAGZ_HOME": str(home), "HOME": place, "ZB_PAGER": ""}
        fill = [programs / "fill_store", home, project, "big", str(told.tests), "512", str(told.spans)]
        subprocess.run(fill, check=True, env=env, stdout=subprocess.DEVNULL)
        good = files(programs / "zb", env, project, told.rounds)
        pages(programs / "zb", env, project, told.rounds)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
