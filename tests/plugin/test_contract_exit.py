"""Exit codes, collection errors, usage errors, and ends of a session: as in plain pytest."""

from __future__ import annotations

import pytest

PLAIN = pytest.mark.ways("plain", "dagz")


@PLAIN
@pytest.mark.smoke
@pytest.mark.parametrize(
    ("files", "args", "code"),
    [
        ({"test_a.py": "def test_a(): pass"}, [], 0),
        ({"test_a.py": "def test_a(): assert 0"}, [], 1),
        ({"test_a.py": "import nowhere_to_be_found"}, [], 2),
        ({"test_a.py": "def test_a(): pass", "conftest.py": "1 / 0"}, [], 4),
        ({"test_a.py": "def test_a(): pass"}, ["--no-such-option"], 4),
        ({"test_a.py": "def test_a(): pass"}, ["no_such_file.py"], 4),
        ({"test_a.py": "def test_a(): pass"}, ["test_a.py::test_none"], 4),
        ({"test_a.py": ""}, [], 5),
        ({"test_a.py": "def test_a(): pass"}, ["-k", "none"], 5),
        ({"test_a.py": "def test_a(): pass"}, ["-m", "no such expression"], 4),
    ],
    ids=["ok", "failed", "collect", "conftest", "option", "file", "nodeid", "empty", "deselected", "expr"],
)
def test_exit_code(suite, files, args, code):
    assert suite(files).run(*args).code == code


@PLAIN
def test_a_usage_error_of_two_lines_is_one_error(suite, way):
    result = suite({"test_a.py": "def test_a(): pass"}).run("test_a.py::test_none")
    assert result.code == 4
    told = [
        line.partition(" ")[0]
        for line in result.err.splitlines()
        if "not found" in line or "no match" in line
    ]
    assert told == ["ERROR:", "(no"]


@PLAIN
def test_an_error_in_a_hook_is_an_internal_error(suite, way):
    s = suite(
        {
            "conftest.py": """
                def pytest_collection_modifyitems(items): raise RuntimeError("hook broke")
            """,
            "test_a.py": "def test_a(): pass",
        }
    )
    result = s.run()
    assert result.code == 3
    assert "INTERNALERROR> RuntimeError: hook broke" in result.out + result.err


@PLAIN
def test_an_error_in_a_runtest_hook_is_an_internal_error(suite, way):
    s = suite(
        {
            "conftest.py": "def pytest_runtest_logstart(nodeid): raise RuntimeError('hook broke')",
            "test_a.py": "def test_a(): pass",
        }
    )
    result = s.run()
    assert result.code == 3 and "hook broke" in result.out + result.err


@PLAIN
@pytest.mark.smoke
def test_collection_errors_are_shown_once_and_nothing_runs(suite, way):
    s = suite(
        {
            "test_a.py": "def test_a(): pass",
            "test_b.py": "import nowhere_to_be_found",
            "test_c.py": "def test_c(:\n",
        }
    )
    result = s.run()
    assert result.code == 2 and result.outcomes == {}
    assert result.counts == {"error": 2}
    assert "Interrupted: 2 errors during collection" in result.out
    assert result.out.count("ERROR collecting test_b.py") == 1
    assert "No module named 'nowhere_to_be_found'" in result.out
    assert {c["nodeid"] for c in result.of("collect")} == {"test_b.py", "test_c.py"}


@PLAIN
def test_continue_on_collection_errors(suite, way):
    s = suite({"test_a.py": "def test_a(): pass", "test_b.py": "import nowhere_to_be_found"})
    result = s.run("--continue-on-collection-errors")
    assert result.code == 1 and result.counts == {"passed": 1, "error": 1}


@PLAIN
def test_a_collection_error_under_exitfirst(suite, way):
    s = suite({"test_a.py": "import nowhere_to_be_found", "test_b.py": "import nowhere_to_be_found"})
    result = s.run("-x")
    assert result.code == 1 and result.counts == {"error": 1}  # pytest 9; older ones say 2
    assert "stopping after 1 failures" in result.out


def test_a_module_that_skips_itself(suite):
    s = suite(
        {
            "test_a.py": "import pytest\npytest.skip('not here', allow_module_level=True)\ndef test_a(): pass",
            "test_b.py": "import pytest\npytest.importorskip('nowhere_to_be_found')\ndef test_b(): pass",
            "test_c.py": "def test_c(): pass",
        }
    )
    result = s.run("-rs")
    assert result.code == 0 and result.counts == {"passed": 1, "skipped": 2}
    assert "not here" in result.out and "could not import 'nowhere_to_be_found'" in result.out


def test_only_modules_that_skip_themselves(suite):
    s = suite({"test_a.py": "import pytest\npytest.skip('not here', allow_module_level=True)"})
    result = s.run()
    assert result.code == 5 and result.counts == {"skipped": 1}


@PLAIN
def test_a_usage_error_of_a_conftest_is_said_once(suite, way):
    s = suite(
        {
            "conftest.py": """
                import pytest
                def pytest_configure(config): raise pytest.UsageError("bad setting of the project")
            """,
            "test_a.py": "def test_a(): pass",
        }
    )
    result = s.run()
    assert result.code == 4
    assert (result.out + result.err).count("bad setting of the project") == 1


@PLAIN
def test_a_broken_conftest_is_said_once(suite, way):
    s = suite({"conftest.py": "raise ValueError('conftest broke')", "test_a.py": "def test_a(): pass"})
    result = s.run()
    assert result.code == 4
    assert (result.out + result.err).count("ValueError: conftest broke") == 1


@PLAIN
@pytest.mark.parametrize("where", ["test", "fixture", "sessionstart", "modifyitems"])
def test_pytest_exit_ends_the_run_with_its_code(suite, way, where):
    stop = "pytest.exit('enough now', returncode=7)"
    files = {
        "test": {"test_a.py": f"import pytest\ndef test_a(): {stop}\ndef test_b(): pass"},
        "fixture": {
            "test_a.py": f"import pytest\n@pytest.fixture\ndef f(): {stop}\ndef test_a(f): pass",
        },
        "sessionstart": {
            "conftest.py": f"import pytest\ndef pytest_sessionstart(): {stop}",
            "test_a.py": "def test_a(): pass",
        },
        "modifyitems": {
            "conftest.py": f"import pytest\ndef pytest_collection_modifyitems(): {stop}",
            "test_a.py": "def test_a(): pass",
        },
    }[where]
    result = suite(files).run()
    assert result.code == 7
    assert "Exit: enough now" in result.out
    assert result.out.count("Exit: enough now") == 1 and result.err.count("Exit: enough now") <= 1


@PLAIN
def test_pytest_exit_at_import_is_what_plain_pytest_makes_of_it(suite, way):
    result = suite({"test_a.py": "import pytest\npytest.exit('enough now', returncode=7)"}).run()
    assert result.code == 2 and result.counts == {"error": 1}
    assert "Exit: enough now" in result.out


@PLAIN
def test_an_exit_in_one_worker_ends_the_others_after_their_test(suite, way):
    s = suite(
        {
            "test_a.py": """
                import pytest, time
                def test_exit(): pytest.exit("enough now", returncode=7)
                @pytest.mark.parametrize("n", range(100))
                def test_n(n): time.sleep(0.1)
            """
        }
    )
    result = s.run()
    assert result.code == 7 and len(result.outcomes) < 10


@PLAIN
def test_keyboard_interrupt_of_a_test_is_exit_2(suite, way):
    s = suite({"test_a.py": "def test_a(): raise KeyboardInterrupt\ndef test_b(): pass"})
    result = s.run()
    assert result.code == 2 and "KeyboardInterrupt" in result.out


@PLAIN
def test_system_exit_of_a_test_is_a_failure(suite, way):
    s = suite({"test_a.py": "import sys\ndef test_a(): sys.exit(9)\ndef test_b(): pass"})
    result = s.run()
    assert result.code == 1 and result.counts == {"failed": 1, "passed": 1}
    assert "SystemExit: 9" in result.out


def test_sessionfinish_may_change_the_exit_code(suite):
    s = suite(
        {
            "conftest.py": """
                def pytest_sessionfinish(session):
                    if not hasattr(session.config, "workerinput"): session.exitstatus = 42
            """,
            "test_a.py": "def test_a(): pass",
        }
    )
    assert s.run().code == 42


@PLAIN
def test_session_should_fail_of_a_reporting_hook_stops(suite, way):
    s = suite(
        {
            "conftest.py": """
                import pytest
                class Stopper:
                    def __init__(self, session): self.session = session
                    def pytest_runtest_logreport(self, report):
                        if report.when == "call": self.session.shouldstop = "seen enough"
                def pytest_sessionstart(session):
                    if not hasattr(session.config, "workerinput"):
                        session.config.pluginmanager.register(Stopper(session))
            """,
            "test_a.py": """
                import pytest, time
                @pytest.mark.parametrize("n", range(100))
                def test_n(n): time.sleep(0.05)
            """,
        }
    )
    result = s.run()
    assert result.code == 2 and "seen enough" in result.out and len(result.outcomes) < 60


@pytest.mark.ways("plain", "xdist", "dagz")
def test_differing_and_unordered_parameters_are_no_error(suite, way):
    s = suite(
        {
            "test_a.py": """
                import os, pytest, uuid
                @pytest.mark.parametrize("word", {"a", "b", "c", "d", "e"})
                def test_set(word): pass
                @pytest.mark.parametrize("number", [uuid.uuid4().hex, os.getpid()])
                def test_differs(number): pass
            """
        }
    )
    result = s.run(env={"PYTHONHASHSEED": "random"})
    if way == "xdist":  # each of its workers collects, and they must agree
        assert result.code == 1 and "Different tests were collected" in result.out
        return
    assert result.code == 0 and result.counts == {"passed": 7}


@PLAIN
def test_no_file_of_ours_is_left_in_the_project(suite, way):
    s = suite({"test_a.py": "def test_a(): pass"})
    s.run()
    names = {p.name for p in s.path.iterdir()}
    assert names <= {"pytest.ini", "test_a.py", ".pytest_cache", "__pycache__"}


@PLAIN
def test_a_read_only_home_is_said_and_does_not_matter(suite, way):
    s = suite({"test_a.py": "def test_a(): pass", "blocked": "a file, no directory"})
    result = s.run(env={"DAGZ_HOME": str(s.path / "blocked" / "home")})
    assert result.code == 0 and result.counts == {"passed": 1}
    if s.is_dagz:
        assert "blocked/home" in result.out + result.err
        assert "Not a directory; the results of this run are in " in result.out + result.err


@PLAIN
def test_nested_runs(suite, way):
    s = suite(
        {
            "test_outer.py": """
                import subprocess, sys, os
                INNER = "import os\\ndef test_inner(): assert 'PYTEST_XDIST_WORKER' not in os.environ"
                def run(path, *args, **env):
                    (path / "test_inner.py").write_text(INNER)
                    (path / "pytest.ini").write_text("[pytest]")
                    full = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_XDIST")}
                    return subprocess.run([sys.executable, "-m", "pytest", *args], cwd=path, text=True,
                                          env={**full, **env}, capture_output=True)
                def test_plain(tmp_path):
                    done = run(tmp_path)
                    assert done.returncode == 0 and "1 passed" in done.stdout, done
                def test_in_process(pytester):
                    pytester.makepyfile("def test_in(): pass")
                    pytester.runpytest_inprocess().assert_outcomes(passed=1)
                    pytester.runpytest_subprocess().assert_outcomes(passed=1)
            """,
            "pytest.ini": "[pytest]\naddopts = -p pytester\n",
        }
    )
    result = s.run()
    assert result.code == 0 and result.counts == {"passed": 2}


@pytest.mark.ways("dagz")
def test_nested_run_takes_the_option_only_from_its_command_line(suite, way):
    s = suite(
        {
            "test_outer.py": """
                import os, subprocess, sys
                def run(path, *args, **env):
                    (path / "test_inner.py").write_text("def test_inner(): pass")
                    (path / "pytest.ini").write_text("[pytest]")
                    return subprocess.run([sys.executable, "-m", "pytest", *args], cwd=path, text=True,
                                          env={**os.environ, **env}, capture_output=True)
                def test_from_environment(tmp_path):
                    done = run(tmp_path, PYTEST_ADDOPTS="--dagz")
                    assert done.returncode == 0 and "dagz: 1 collected" not in done.stdout, done
                def test_from_command_line(tmp_path):
                    done = run(tmp_path, "--dagz", "--dagz-workers=2")
                    assert done.returncode == 0 and "dagz: 1 collected = 1 run" in done.stdout, done
            """,
        }
    )
    result = s.run()
    assert result.code == 0 and result.counts == {"passed": 2}
