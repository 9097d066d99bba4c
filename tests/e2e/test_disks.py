"""Disks that are full or do not answer.  They are real ones: a small tmpfs that only the agent sees."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import faults
import pytest
from lab import Lab, Project, Result

HERE = Path(__file__).resolve().parent
WORK = {
    "test_a.py": """
        import pytest

        @pytest.mark.parametrize("n", range(200))
        def test_says_much(n):
            print(str(n) * 4000)
            assert n % 10 != 9
    """,
}


def agent_after(tmp_path: Path, *lines: str) -> dict[str, str]:
    """The environment of a run whose agent is started behind these lines of shell."""
    agent = os.environ.get("DAGZ_AGENT")
    assert agent, "name the agent to test with DAGZ_AGENT"
    script = tmp_path / "agent"
    script.write_text("\n".join(["#!/bin/sh", *lines, f'exec {agent} "$@"', ""]))
    script.chmod(0o755)
    return {"DAGZ_AGENT": str(script)}


def on_small_disk(tmp_path: Path, size: str) -> dict[str, str]:
    """DAGZ_HOME is a disk of that size.  Only the agent sees it, and it goes when the agent does."""
    within = agent_after(tmp_path, f'mount -t tmpfs -o size={size} small "$DAGZ_HOME" || exit 9')
    inner = Path(within["DAGZ_AGENT"]).rename(tmp_path / "agent-within")
    outside = agent_after(tmp_path, f'mkdir -p "$DAGZ_HOME"; exec unshare -m {inner} "$@"')
    return {**outside, "TMPDIR": str(tmp_path)}


def can_mount() -> bool:
    argv = ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(argv, capture_output=True).returncode == 0


NEEDS_MOUNT = pytest.mark.skipif(not can_mount(), reason="mounting a small disk needs root")


def check_counted(project: Project, result: Result) -> None:
    print(result)
    assert result.code == 1 and result.counts == {"failed": 20, "passed": 180} and result.left == []
    assert "lost 0" in result.out


def test_a_disk_that_takes_nothing_at_the_start_is_named(tmp_path):
    env = agent_after(tmp_path, "ulimit -f 0")
    result = Lab(tmp_path).project(WORK).run("dagz", env={**env, "TMPDIR": str(tmp_path)})
    print(result)
    assert result.code == 3 and result.left == []
    assert list(tmp_path.glob("dagz-*")) == []
    assert result.out.count("no space left") == 1 and result.err == ""


@NEEDS_MOUNT
def test_where_home_is_full_the_results_go_elsewhere(tmp_path):
    project = Lab(tmp_path).project(WORK)
    result = project.run("dagz", env=on_small_disk(tmp_path, "16k"))
    check_counted(project, result)
    assert "no space left" in result.out and "the results of this run are in" in result.out


@NEEDS_MOUNT
def test_an_agent_that_replaces_one_finds_the_job_elsewhere(tmp_path):
    project = Lab(tmp_path).project(faults.files())
    fault = faults.Fault("agent", 0.0, after=60, pick=0)
    result, did = faults.run(project, fault, env=on_small_disk(tmp_path, "16k"))
    print(result)
    assert did
    faults.check(project, fault, result, did)


@NEEDS_MOUNT
@pytest.mark.parametrize("size", ["64k", "100k", "150k", "300k", "1m"])
def test_a_disk_that_fills_costs_no_result(tmp_path, size):
    project = Lab(tmp_path).project(WORK)
    result = project.run("dagz", env=on_small_disk(tmp_path, size))
    check_counted(project, result)
    assert "no space left" in result.out


def on_slow_disk(tmp_path: Path, **how: str) -> dict[str, str]:
    """The agent's syncs take long; how: what stuck_disk.c reads."""
    library = tmp_path / "stuck_disk.so"
    argv = ["cc", "-shared", "-fPIC", "-D_GNU_SOURCE", "-o", library, HERE / "stuck_disk.c", "-ldl"]
    subprocess.run(argv, check=True)
    return {
        **agent_after(tmp_path, f"export LD_PRELOAD={library}"),
        "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0",
        **how,
    }


def test_an_agent_that_waits_for_its_disk_is_not_replaced(tmp_path):
    began = tmp_path / "began"
    files = {
        "test_a.py": f"""
            def test_one():
                open({str(began)!r}, "w").close()
            def test_two():
                pass
        """
    }
    env = on_slow_disk(tmp_path, STUCK_WHEN=str(began), STUCK_MS="11500")
    result = Lab(tmp_path).project(files).run("dagz", env=env)
    print(result)
    assert result.code == 0 and result.counts == {"passed": 2} and result.left == []
    assert "replaced" not in result.out
    assert result.out.count("the agent has been waiting for the disk for 10 s") == 1
    assert result.seconds > 11


def test_a_slow_disk_is_waited_for_now_and_then(tmp_path):
    """Results of many tests share a sync: the slower the disk, the more."""
    files = {
        "test_a.py": """
            import pytest, time

            @pytest.mark.parametrize("n", range(200))
            def test_one(n):
                time.sleep(0.005)
        """
    }
    syncs = tmp_path / "syncs"
    env = on_slow_disk(tmp_path, SLOW_MS="100", SLOW_LOG=str(syncs))
    result = Lab(tmp_path).project(files).run("dagz", env=env)
    print(result, syncs.stat().st_size, "syncs")
    assert result.code == 0 and result.counts == {"passed": 200}
    assert 3 < syncs.stat().st_size < 25
