"""How long `zb logs -f` is behind what is written, through a daemon and beside the store.

    python tests/bench/store/follow.py [--build build/release] [--lines N]

A writer takes lines from us as a worker's output, and the follower's come back.  One line of JSON for each way:
milliseconds from the one to the other (median, the 95th of 100, greatest).  Exit code 1: an aim was missed by
the median.
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
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
AIM_MS = 100
PAUSE_S = 0.13  # between two lines: no part of a second that anything else waits


def behind(programs: Path, env: dict[str, str], reader: dict[str, str], cwd: Path, lines: int) -> list[float]:
    """Milliseconds for each line."""
    argv = [str(programs / "fill_store"), env["DAGZ_HOME"], str(cwd), "running"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    took = []
    with subprocess.Popen(argv, env=env, **pipes) as job:
        job.stdin.write("begun\n")
        zb = [str(programs / "zb"), "logs"]
        while "begun" not in subprocess.run(zb, cwd=cwd, env=reader, capture_output=True, text=True).stdout:
            pass
        with subprocess.Popen([*zb, "-f"], cwd=cwd, env=reader, **pipes) as follower:
            for number in range(lines + 1):
                mark = f"line-{number}-"
                start = time.perf_counter()
                job.stdin.write(mark + "\n")
                while mark not in (line := follower.stdout.readline()):
                    if not line:
                        sys.exit("the follower has ended")
                took.append((time.perf_counter() - start) * 1e3)
                time.sleep(PAUSE_S)
            job.stdin.close()
            follower.stdout.read()
    return took[1:]  # the first one came with what was there


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", type=Path, default=ROOT / "build/release")
    parser.add_argument("--lines", type=int, default=60)
    args = parser.parse_args()
    programs = (args.build / "bin").resolve()
    missed = False
    with tempfile.TemporaryDirectory(prefix="follow-") as place:
        home, cwd = Path(place, "home"), Path(place, "project")
        cwd.mkdir()
        (home / "local.env").mkdir(parents=True)
        (home / "local.env/daemon.yaml").write_text("port: 0\n")
        env = {"PATH": os.environ["PATH"], "HOME": place, "DAGZ_HOME": str(home), "DAGZ_URL": "none"}
        daemon = [str(programs / "zb"), "daemon"]
        up = subprocess.run(
            [*daemon, "up", "--bg"], env=env, cwd=cwd, check=True, capture_output=True, text=True
        )
        url = up.stdout.split()[-1]
        ways = {
            "daemon": env | {"DAGZ_HOME": str(home) + "-of-nobody", "DAGZ_URL": url},
            "beside the store": env,
        }
        try:
            for name, reader in ways.items():
                took = sorted(behind(programs, env, reader, cwd, args.lines))
                middle = statistics.median(took)
                missed |= middle > AIM_MS
                figures = {"median_ms": middle, "p95_ms": took[int(len(took) * 0.95)], "most_ms": took[-1]}
                print(json.dumps({"way": name} | {k: round(v, 1) for k, v in figures.items()}), flush=True)
        finally:
            subprocess.run([*daemon, "down"], env=env, cwd=cwd, check=True, stdout=subprocess.DEVNULL)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
