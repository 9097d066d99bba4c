"""Deaths and hangs of workers: named, counted once, everything else runs, nobody is left."""

from __future__ import annotations

import pytest
from snippets import NOTE, notes

pytestmark = pytest.mark.ways("dagz")

KINDS = {
    "segv": ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
    "exit": ("os._exit(3)", "3"),
    "kill": ("os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
    "abort": ("os.abort()", "SIGABRT"),
    "term": (
        "signal.signal(signal.SIGTERM, signal.SIG_DFL); os.kill(os.getpid(), signal.SIGTERM)",
        "SIGTERM",
    ),
}


def crashing(body):
    return {
        "noting.py": NOTE,
        "test_a.py": f"""
            import os, signal, time, pytest
            from noting import note
            @pytest.mark.parametrize("n", range(6))
            def test_before(n): pass
            def test_dies():
                note("tried", pid=os.getpid())
                print("last words of the test", flush=True)
                {body}
            @pytest.mark.parametrize("n", range(20))
            def test_after(n): time.sleep(0.01)
        """,
    }


@pytest.mark.smoke
@pytest.mark.parametrize("kind", KINDS)
def test_a_test_that_ends_its_worker_has_three_strikes(suite, way, kind):
    body, name = KINDS[kind]
    s = suite(crashing(body))
    result = s.run()
    assert result.code == 1
    outcomes = result.outcomes
    dead = outcomes.pop("test_a.py::test_dies")
    assert dead in ("failed", "error")
    assert len(outcomes) == 26 and set(outcomes.values()) == {"passed"}
    assert len(notes(s.state, "tried")) == 3
    assert "CRASHED" in result.out and name in result.out
    assert "test_a.py::test_dies" in result.out and "last words of the test" in result.out
    assert "counted 27, duplicates 0, lost 0" in result.out
    if kind in ("segv", "abort"):
        assert "in test_dies" in result.out  # the Python stack
        assert "libc" in result.out or "raise" in result.out  # the native one


def test_a_dead_test_is_named_as_seen_from_where_pytest_was_started(suite, way):
    s = suite({"pytest.ini": "[pytest]", "sub/test_a.py": "import os\ndef test_dies(): os._exit(3)"})
    result = s.run("test_a.py", cwd=s.path / "sub")
    assert result.code == 1
    assert "dagz: test_a.py::test_dies: its worker gw" in result.out
    assert "FAILED test_a.py::test_dies - CRASHED" in result.out


def test_a_test_that_dies_once_passes_at_its_next_try(suite, way):
    s = suite(
        {
            "test_a.py": """
                import os, pathlib, signal, pytest
                def test_dies_once():
                    mark = pathlib.Path(os.environ["DZT_STATE"], "died")
                    if not mark.exists():
                        mark.touch()
                        os.kill(os.getpid(), signal.SIGKILL)
                @pytest.mark.parametrize("n", range(10))
                def test_n(n): pass
            """
        }
    )
    result = s.run()
    assert result.code == 0 and result.outcomes["test_a.py::test_dies_once"] == "passed"
    assert len(result.outcomes) == 11 and "SIGKILL" in result.out


def test_a_crash_stops_under_exitfirst_and_is_last_failed(suite, way):
    s = suite(crashing("os._exit(3)"))
    result = s.run("-x", workers=1)
    assert result.code == 1 and result.counts["failed"] == 1
    # What died is tried again before anything else; a worker may have begun when the last strike is counted.
    assert 7 <= len(result.outcomes) <= 10
    again = s.run("--lf")
    assert set(again.outcomes) == {"test_a.py::test_dies"} and again.code == 1


def test_a_crash_is_in_the_junitxml(suite, way):
    result = suite(crashing("os.abort()")).run()
    cases = [c for c in result.junit.iter("testcase") if c.get("name") == "test_dies"]
    assert len(cases) == 1
    (bad,) = [child for child in cases[0] if child.tag in ("failure", "error")]
    assert "SIGABRT" in (bad.get("message") or "") + (bad.text or "")


@pytest.mark.parametrize("where", ["setup", "teardown", "session"])
def test_a_death_in_a_fixture(suite, way, where):
    die = "os.kill(os.getpid(), signal.SIGKILL)"
    fixture = {
        "setup": f"@pytest.fixture\ndef f():\n    {die}\n    yield",
        "teardown": f"@pytest.fixture\ndef f():\n    yield\n    {die}",
        "session": f"@pytest.fixture(scope='session')\ndef f():\n    yield\n    {die}",
    }[where]
    s = suite(
        {
            "test_a.py": "import os, signal, pytest\n"
            + fixture
            + "\ndef test_f(f): pass\n"
            + "@pytest.mark.parametrize('n', range(10))\ndef test_n(n): pass\n"
        }
    )
    result = s.run()
    assert result.code == 1 and len([n for n in result.outcomes if "test_n" in n]) == 10
    assert all(result.outcomes[f"test_a.py::test_n[{n}]"].startswith("passed") for n in range(10))
    assert "SIGKILL" in result.out and "lost 0" in result.out


def test_every_test_crashes(suite, way):
    s = suite(
        {
            "test_a.py": """
                import os, pytest
                @pytest.mark.parametrize("n", range(6))
                def test_dies(n): os._exit(9)
            """
        }
    )
    result = s.run()
    assert result.code == 1 and len(result.outcomes) == 6 and "counted 6" in result.out


HANG = {
    "test_a.py": """
        import threading, time, pytest
        def helper_that_waits(): time.sleep(600)
        def test_hangs():
            threading.Thread(target=second_thread_waits, daemon=True).start()
            print("before the hang", flush=True)
            helper_that_waits()
        def second_thread_waits(): threading.Event().wait()
        @pytest.mark.parametrize("n", range(10))
        def test_n(n): pass
    """
}


@pytest.mark.smoke
def test_a_hang_is_ended_from_outside_with_all_stacks(suite, way):
    result = suite(HANG).run("--dagz-test-timeout=1")
    assert result.code == 1 and result.outcomes.pop("test_a.py::test_hangs") in ("failed", "error")
    assert len(result.outcomes) == 10 and set(result.outcomes.values()) == {"passed"}
    assert "TIMEOUT" in result.out and "helper_that_waits" in result.out
    assert "second_thread_waits" in result.out and "before the hang" in result.out
    assert "TIMEOUT: above its limit of 1.000 s (gw" in result.out
    assert result.out.count("all stacks:") == 1


def test_a_hang_without_the_gil_is_ended_too(suite, way):
    s = suite(
        {
            "test_a.py": """
                import ctypes, pytest
                # Never lets go of the interpreter's lock: no Python signal handler can run.
                def test_hangs(): ctypes.PyDLL(None).pthread_mutex_lock(LOCKED)
                LOCKED = ctypes.create_string_buffer(64)
                ctypes.CDLL(None).pthread_mutex_lock(LOCKED)
                # Returns when a signal comes: too late all the same.
                def test_is_woken(): ctypes.CDLL(None).pause()
                def test_n(): pass
            """
        }
    )
    result = s.run("--dagz-test-timeout=1")
    assert result.code == 1
    assert result.outcomes["test_a.py::test_n"] == "passed"
    for name in ("test_hangs", "test_is_woken"):
        assert result.outcomes[f"test_a.py::{name}"] in ("failed", "error")
        assert f"in {name}" in result.out
    assert "TIMEOUT" in result.out


def test_what_a_worker_waits_for_its_next_test_is_not_its_last_one_s_time(suite, way):
    """What killed a worker is not given to it again: it waits, its last test not torn down, for the other."""
    files = {
        "test_a.py": """
            import os, time, pytest
            def test_dies(): os._exit(9)
            @pytest.mark.parametrize("n", range(8))
            def test_n(n): pass
            def test_hangs(): time.sleep(600)
        """
    }
    result = suite(files).run("--dagz-workers=2", "--dagz-test-timeout=1")
    assert result.code == 1
    assert {name for name, outcome in result.outcomes.items() if outcome != "passed"} == {
        "test_a.py::test_hangs",
        "test_a.py::test_dies",
    }


def test_a_stopped_worker_is_a_hang(suite, way):
    s = suite(
        {
            "test_a.py": """
                import os, signal
                def test_stops(): os.kill(os.getpid(), signal.SIGSTOP)
                def test_n(): pass
            """
        }
    )
    result = s.run("--dagz-test-timeout=1")
    assert result.code == 1 and result.outcomes["test_a.py::test_n"] == "passed" and "TIMEOUT" in result.out


def test_children_of_a_killed_worker_are_ended(suite, way):
    s = suite(
        {
            "test_a.py": """
                import os, subprocess
                def test_dies():
                    subprocess.Popen(["sleep", "985"]); os._exit(1)
                def test_session_leader():
                    subprocess.Popen(["sleep", "984"], start_new_session=True)
            """
        }
    )
    assert s.run().code == 1  # run() itself requires that nothing is left
