"""Machines that lack something, and tests that fork: what others would leave half done."""

from __future__ import annotations

import ctypes
import resource
import subprocess

import pytest
from snippets import BUSY

DAGZ = ("dagz", "dagz+xdist")
CLONE_NEWNS, MS_PRIVATE = 0x20000, 1 << 18
LIBC = ctypes.CDLL(None, use_errno=True)


def can_mount() -> bool:
    argv = ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(argv, capture_output=True).returncode == 0


NEEDS_MOUNT = pytest.mark.skipif(not can_mount(), reason="mounting needs root")


def hide(path: str) -> None:
    """In a process about to become a run: an empty folder is mounted there, for it alone."""
    for done in (
        LIBC.unshare(CLONE_NEWNS),
        LIBC.mount(b"none", b"/", None, MS_PRIVATE | 16384, None),  # with all below
        LIBC.mount(b"none", path.encode(), b"tmpfs", 0, None),
    ):
        if done != 0:
            raise OSError(ctypes.get_errno(), path)


def limit_files(count: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))


# ---------------------------------------------------------------- machines


@NEEDS_MOUNT
@pytest.mark.ways(*DAGZ)
def test_without_pseudo_terminals_only_a_terminal_is_missing(suite, way):
    s = suite(
        {
            "test_a.py": """
                import os, subprocess, sys

                def test_says():
                    print("by Python")
                    subprocess.run(["echo", "by a child"], check=True)
                    os.write(1, b"x" * 500_000 + b"\\n")
                    print("on stderr", file=sys.stderr)
                    assert not os.isatty(1)
                    assert 0

                def test_capfd(capfd):
                    os.write(2, b"hello")
                    assert capfd.readouterr().err == "hello"
            """
        }
    )
    result = s.run(preexec_fn=lambda: hide("/dev/pts"))
    assert (result.code, result.counts) == (1, {"failed": 1, "passed": 1}), result
    told = result.out.partition("Captured stdout call")[2]
    assert "by Python\nby a child\nxxx" in told and told.count("x") >= 500_000 and "on stderr" in told


@NEEDS_MOUNT
@pytest.mark.ways(*DAGZ)
def test_without_proc_it_says_so_at_once(suite, way):
    result = suite({"test_a.py": BUSY}).run(preexec_fn=lambda: hide("/proc"))
    assert result.code == 4
    assert "dagz: /proc is needed, and not mounted here" in result.err


@pytest.mark.ways(*DAGZ)
def test_too_few_open_files_are_named_at_once(suite, way):
    result = suite({"test_a.py": BUSY}).run(preexec_fn=lambda: limit_files(51))
    assert result.code == 4
    assert "dagz: 2 workers need 52 open files, and 'ulimit -n' allows 51" in result.err


@pytest.mark.ways(*DAGZ)
def test_as_many_open_files_as_it_asks_for_are_enough(suite, way):
    result = suite({"test_a.py": BUSY}).run(preexec_fn=lambda: limit_files(52))
    assert result.code == 0, result


# ---------------------------------------------------------------- tests that fork


FORKS = {
    "conftest.py": """
        import os, pytest

        @pytest.fixture(scope="session", autouse=True)
        def wide():
            yield
            with open(os.environ["DZT_STATE"] + "/torn-down", "a") as file:
                file.write("once\\n")
    """,
    "test_a.py": """
        import os, sys, pytest

        def status(pid):
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

        def test_child_falls_through():
            pid = os.fork()
            assert pid == 0 or status(pid) == 0

        def test_child_fails():
            pid = os.fork()
            if pid == 0:
                raise ValueError("in the child")
            assert status(pid) == 1

        def test_child_exits():
            pid = os.fork()
            if pid == 0:
                sys.exit(0)
            assert status(pid) == 1

        def test_child_ends_the_run():
            pid = os.fork()
            if pid == 0:
                pytest.exit("the child's word")
            assert status(pid) == 1

        @pytest.fixture
        def forking():
            pid = os.fork()
            yield pid
            assert pid == 0 or status(pid) == 0

        def test_child_of_a_fixture(forking):
            pass

        @pytest.mark.parametrize("n", range(20))
        def test_after(n):
            pass

        def test_shows():
            pid = os.fork()
            if pid == 0:
                assert 1 == 2, "seen in the parent"
            status(pid)
            assert 0
    """,
}


@pytest.mark.ways(*DAGZ)
def test_a_process_that_a_test_forked_ends_with_the_test(suite, way):
    """Under plain pytest it goes on with all other tests, and tears everything down once more."""
    s = suite(FORKS)
    result = s.run()
    assert (result.code, result.counts) == (1, {"failed": 1, "passed": 25}), result
    assert "counted 26, duplicates 0, lost 0" in result.out and result.left == []
    assert "a process forked by test_a.py::test_shows fails:" in result.out
    assert "seen in the parent" in result.out
    assert (s.state / "torn-down").read_text() == "once\n" * 2


@pytest.mark.ways(*DAGZ)
def test_so_it_is_where_a_plugin_runs_tests_again(suite, way):
    s = suite(
        {
            **FORKS,
            "conftest.py": FORKS["conftest.py"]
            + """
        @pytest.hookimpl(tryfirst=True)
        def pytest_runtest_protocol(item, nextitem):
            from _pytest.runner import runtestprotocol
            runtestprotocol(item, nextitem=nextitem)
            return True
    """,
        }
    )
    result = s.run()
    assert (result.code, result.counts) == (1, {"failed": 1, "passed": 25}), result
    assert "counted 26, duplicates 0, lost 0" in result.out and result.left == []
