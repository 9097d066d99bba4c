"""What of dagz itself is seen: nothing without its option, and then what is promised; conftests' hooks."""

from __future__ import annotations

import pytest
from lab import Project
from snippets import BUSY
from test_contract_options import NUMBERED


@pytest.mark.ways("dagz")
@pytest.mark.smoke
def test_without_workers_it_runs_in_process(suite, way):
    s = suite({"test_a.py": "import os\ndef test_a(): assert 'PYTEST_XDIST_WORKER' not in os.environ"})
    result = s.run("--dagz-workers=0")
    assert result.code == 0 and result.counts == {"passed": 1}


@pytest.mark.ways("dagz", "dagz+xdist")
def test_any_option_of_ours_implies_the_first(lab, way):
    project = lab.project({"test_a.py": "def test_a(worker_id): assert worker_id.startswith('gw')"})
    result = project.run("plain" if way == "dagz" else "dagz+xdist", "--dagz-workers=2")
    assert result.code == 0 and "dagz: 1 collected = 1 run" in result.out


@pytest.mark.ways("plain", "dagz")
def test_without_the_option_nothing_of_ours_is_seen(lab, way):
    project: Project = lab.project({"test_a.py": BUSY})
    result = project.run("plain")
    assert result.code == 0 and "dagz:" not in result.out
    assert not (project.path / ".dagz").exists()


@pytest.mark.ways("dagz")
def test_p_no_dagz_leaves_plain_pytest(lab, way):
    project = lab.project({"test_a.py": "def test_a(): pass"})
    result = project.run("plain", "-p", "no:dagz")
    assert result.code == 0


@pytest.mark.ways("dagz")
def test_ini_names_work_as_the_options_do(lab, way):
    project = lab.project(
        {
            "pytest.ini": "[pytest]\ndagz = true\ndagz_workers = 2\n",
            "test_a.py": "def test_a(worker_id): assert worker_id in ('gw0', 'gw1')",
        }
    )
    result = project.run("plain")
    assert result.code == 0 and "dagz: 1 collected = 1 run" in result.out


@pytest.mark.ways("dagz")
def test_the_last_lines_add_up(suite, way):
    result = suite(NUMBERED).run("-m", "not slow")
    line = (
        "dagz: 7 collected = 6 run + 0 redundant + 1 deselected + 0 not run; counted 6, duplicates 0, lost 0"
    )
    assert line in result.out
    assert line in suite(NUMBERED).run("-q", "-m", "not slow").out


@pytest.mark.ways("plain", "dagz")
def test_hooks_of_a_conftest_in_a_subdirectory(suite, way):
    s = suite(
        {
            "sub/conftest.py": """
                import pytest
                @pytest.fixture
                def here(): return "sub"
                def pytest_runtest_makereport(item, call):
                    if call.when == "call": item.user_properties.append(("seen", "sub"))
            """,
            "sub/test_s.py": "def test_s(here): assert here == 'sub'",
            "test_top.py": "def test_top(): pass",
        }
    )
    result = s.run()
    assert result.code == 0
    assert result.report("test_s").properties == [["seen", "sub"]]
    assert result.report("test_top").properties == []


@pytest.mark.ways("plain", "xdist", "dagz")
def test_a_reporting_hook_of_a_conftest_sees_each_report_once(suite, way):
    s = suite(
        {
            "conftest.py": """
                import os
                def pytest_runtest_logreport(report):
                    if "PYTEST_XDIST_WORKER" not in os.environ and report.when == "call":
                        print("REPORT", report.nodeid)
                def pytest_terminal_summary(terminalreporter):
                    terminalreporter.write_line("SUMMARY OF THE CONFTEST")
                def pytest_report_header(config): return "HEADER OF THE CONFTEST"
            """,
            "test_a.py": "def test_a(): pass\ndef test_b(): pass",
        }
    )
    result = s.run("-s")
    assert result.out.count("SUMMARY OF THE CONFTEST") == 1
    assert result.out.count("HEADER OF THE CONFTEST") == 1
    assert sorted(line.split("REPORT ")[1] for line in result.out.splitlines() if "REPORT " in line) == [
        "test_a.py::test_a",
        "test_a.py::test_b",
    ]


@pytest.mark.ways("dagz")
@pytest.mark.parametrize("fork", ["auto", "before-conftests"])
def test_the_key_to_the_store_is_not_in_processes_of_tests(suite, way, fork):
    files = {
        "pytest.ini": f"[pytest]\ndagz_fork = {fork}\n",
        "conftest.py": """
            import os, pathlib
            assert "DAGZ_TOKEN" not in os.environ  # in the controller, too
            assert "the-secret" not in pathlib.Path("/proc/self/environ").read_text()
        """,
        "test_a.py": """
            import os, pathlib, subprocess, sys
            def test_self():
                assert "DAGZ_TOKEN" not in os.environ
                assert "the-secret" not in pathlib.Path("/proc/self/environ").read_text()
                assert "the-secret" not in pathlib.Path(f"/proc/{os.getppid()}/environ").read_text()
            def test_child():
                asked = [sys.executable, "-c", "import os; print(os.environ.get('DAGZ_TOKEN'))"]
                assert subprocess.run(asked, capture_output=True, text=True).stdout == "None\\n"
        """,
    }
    result = suite(files).run(env={"DAGZ_TOKEN": "the-secret"})
    assert result.code == 0 and result.counts == {"passed": 2}


@pytest.mark.ways("dagz")
@pytest.mark.parametrize(
    ("args", "env", "line"),
    [
        (["--dagz-wrkers=2"], {}, "dagz: there is no option --dagz-wrkers; did you mean --dagz-workers?"),
        (["--dagz-ui=loud"], {}, "dagz: --dagz-ui=loud: one of auto, bar, plain, agent, none is expected"),
        (
            ["--dagz-rendezvous=here"],
            {},
            "dagz: --dagz-rendezvous=here: one of auto, store, host, none is expected",
        ),
        (
            [],
            {"DAGZ_FLUSH_TIMEOUT": "soon"},
            "dagz: DAGZ_FLUSH_TIMEOUT=soon: seconds from 0 to 600 are expected",
        ),
        ([], {"DAGZ_MEET_TIMEOUT": "nan"}, "dagz: DAGZ_MEET_TIMEOUT=nan: seconds from 0 to 4 are expected"),
    ],
)
def test_what_makes_no_sense_is_one_line_that_names_it(suite, way, args, env, line):
    result = suite({"test_a.py": "def test_a(): pass"}).run(*args, env=env)
    assert (result.code, (result.out + result.err).split("ERROR: ")[-1].strip()) == (4, line)
