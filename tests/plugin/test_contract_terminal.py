"""Signals, the debugger, and what a terminal sees."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time

import pytest
from conftest import check

SLOW = {
    "test_a.py": """
        import os, pathlib, time, pytest
        @pytest.mark.parametrize("n", range(200))
        def test_n(n):
            pathlib.Path(os.environ["DZT_STATE"], "ran-%d" % n).touch()
            time.sleep(0.2)
        def test_last(): pass
    """
}


def wait_for(condition, seconds=50.0):
    """Poll for something that another process does; at most so long."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    assert condition()


@pytest.mark.smoke
@pytest.mark.ways("plain", "dagz")
def test_one_interrupt_ends_the_run_with_exit_2(suite, way):
    s = suite(SLOW)
    run = s.start()
    wait_for(lambda: len(list(s.state.glob("ran-*"))) >= 3)
    run.interrupt()
    result = check(run.finish())
    assert result.code == 2 and "KeyboardInterrupt" in result.out
    assert len(result.outcomes) < 100
    if way == "dagz":
        started = len(list(s.state.glob("ran-*")))
        assert result.counts["passed"] == started, "running tests are finished and reported"
        assert f"{201 - started} not run" in result.out


@pytest.mark.ways("plain", "dagz")
def test_an_interrupt_of_the_whole_foreground_group(suite, way):
    s = suite(SLOW)
    run = s.start()
    wait_for(lambda: len(list(s.state.glob("ran-*"))) >= 3)
    os.killpg(run.process.pid, signal.SIGINT)
    result = check(run.finish())
    assert result.code == 2


@pytest.mark.ways("dagz")
def test_two_interrupts_stop_at_once(suite, way):
    s = suite(
        {
            "test_a.py": """
                import os, pathlib, time, pytest
                @pytest.mark.parametrize("n", range(4))
                def test_n(n):
                    pathlib.Path(os.environ["DZT_STATE"], "ran-%d" % n).touch()
                    time.sleep(300)  # longer than anybody waits for the run
            """
        }
    )
    run = s.start()
    wait_for(lambda: len(list(s.state.glob("ran-*"))) >= 2)
    run.interrupt()
    for line in iter(run.process.stdout.readline, b""):  # or both would be one
        if b"Ctrl-C again stops them now" in line:
            break
    run.interrupt()
    assert check(run.finish()).code == 2


@pytest.mark.ways("dagz")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signals_of_a_ci_have_their_exit_codes(suite, way, number, code):
    s = suite(SLOW)
    run = s.start()
    wait_for(lambda: len(list(s.state.glob("ran-*"))) >= 3)
    run.interrupt(number)
    result = check(run.finish())
    assert result.code == code


@pytest.mark.ways("dagz")
def test_nothing_is_left_when_the_controller_is_killed(suite, way):
    s = suite(SLOW)
    run = s.start()
    wait_for(lambda: len(list(s.state.glob("ran-*"))) >= 3)
    run.interrupt(signal.SIGKILL)
    assert check(run.finish()).code == -signal.SIGKILL


@pytest.mark.ways("dagz")
def test_interrupt_while_collecting(suite, way):
    s = suite(
        {
            "test_a.py": """
                import os, pathlib, time
                pathlib.Path(os.environ["DZT_STATE"], "collecting").touch()
                time.sleep(300)
            """
        }
    )
    run = s.start()
    wait_for((s.state / "collecting").exists)
    run.interrupt()
    result = check(run.finish())
    assert result.code == 2


PDB = {
    "test_a.py": """
        import pytest
        def test_ok(): pass
        def test_bad():
            answer = 41 + 1
            assert answer == 0
        def test_later(): pass
    """,
    "test_break.py": """
        def test_break():
            answer = 41 + 1
            breakpoint()
            print("went on")
    """,
}


@pytest.mark.ways("dagz")
def test_pdb_without_a_terminal_is_refused(suite, way):
    result = suite(PDB).run("--pdb")
    assert result.code == 4
    text = result.out + result.err
    assert "--pdb" in text and "terminal" in text and "--dagz-workers=0" in text


class Terminal:
    """A person at a terminal of 100 columns."""

    def __init__(self, suite, *args, env=None, size=(40, 100)):
        import pexpect

        argv, venv = suite.project.command(suite.way, list(args))
        suite.project.runs += 1
        self.env = {**suite.project.environment(venv, {"TERM": "xterm", **(env or {})})}
        self.child = pexpect.spawn(
            argv[0],
            argv[1:],
            cwd=str(suite.path),
            env=self.env,
            encoding="utf-8",
            dimensions=size,
            timeout=50,
        )

    def end(self):
        import leftovers
        import pexpect

        self.child.expect(pexpect.EOF)
        self.raw = self.child.before
        text = re.sub("\x1b\\[[0-9;?]*[a-zA-Z]", "", self.raw)
        self.child.close()
        left = leftovers.after(self.env[leftovers.TOKEN])
        leftovers.kill(self.env[leftovers.TOKEN])
        assert left == []
        return text, self.child.exitstatus


@pytest.mark.ways("plain", "dagz")
def test_pdb_at_a_failure_has_the_terminal(suite, way):
    t = Terminal(suite(PDB), "--pdb", "test_a.py")
    t.child.expect_exact("(Pdb) ")
    t.child.sendline("p answer * 100")
    t.child.expect_exact("4200")
    t.child.expect_exact("(Pdb) ")
    t.child.sendline("c")
    text, code = t.end()
    assert code == 1 and "1 failed, 2 passed" in text


@pytest.mark.ways("plain", "dagz")
def test_breakpoint_has_the_terminal(suite, way):
    t = Terminal(suite(PDB), "test_break.py")
    t.child.expect_exact("(Pdb) ")
    t.child.sendline("p answer * 100")
    t.child.expect_exact("4200")
    t.child.sendline("c")
    text, code = t.end()
    assert code == 0 and "1 passed" in text


@pytest.mark.ways("plain", "dagz")
def test_quitting_the_debugger_ends_the_run(suite, way):
    t = Terminal(suite(PDB), "test_break.py")
    t.child.expect_exact("(Pdb) ")
    t.child.sendline("q")
    text, code = t.end()
    assert code == 2 and "Quitting debugger" in text


@pytest.mark.ways("dagz")
def test_the_terminal_is_put_right_when_a_worker_dies_in_the_debugger(suite, way):
    t = Terminal(suite(PDB), "test_break.py")
    for _ in range(3):  # it has three tries
        t.child.expect_exact("(Pdb) ")
        t.child.sendline("import os; os.kill(os.getpid(), 9)")
    text, code = t.end()
    assert code == 1 and "SIGKILL" in text


@pytest.mark.ways("plain", "dagz")
@pytest.mark.parametrize("args, answer", [((), False), (("-s",), True), (("--capture=sys",), True)])
def test_python_streams_say_whether_they_are_terminals_as_in_plain_pytest(suite, way, args, answer):
    asks = """
        import sys
        def test_original(): assert sys.__stdout__.isatty() is sys.__stderr__.isatty() is {}
        def test_of_a_test(request):
            is_s = request.config.option.capture == "no"
            assert sys.stdout.isatty() is sys.stderr.isatty() is is_s
    """
    t = Terminal(suite({"test_a.py": asks.format(answer)}), *args)
    text, code = t.end()
    assert code == 0, text


@pytest.mark.ways("dagz")
def test_a_terminal_sees_a_live_area_and_colours(suite, way):
    t = Terminal(suite({"test_a.py": SLOW["test_a.py"].replace("200)", "12)")}))
    text, code = t.end()
    assert code == 0 and "13 passed" in text
    assert re.search("\x1b\\[[0-9]*[AK]", t.raw), "a live area moves the cursor"


@pytest.mark.ways("dagz")
@pytest.mark.parametrize("env", [{"TERM": "dumb"}, {"NO_COLOR": "1", "TERM": "dumb"}])
def test_a_dumb_terminal_sees_no_cursor_codes(suite, way, env):
    t = Terminal(suite({"test_a.py": SLOW["test_a.py"].replace("200)", "6)")}), env=env)
    text, code = t.end()
    assert code == 0 and "\x1b[" not in t.raw


@pytest.mark.ways("dagz")
def test_a_terminal_that_does_not_know_its_size_has_a_live_area_all_the_same(suite, way):
    waits = """
        import os, pathlib, time
        def test_first(): pass
        def test_second():
            seen = pathlib.Path(os.environ["DZT_STATE"], "seen")
            while not seen.exists():
                time.sleep(0.01)
    """
    s = suite({"test_a.py": waits})
    t = Terminal(s, size=(0, 0))
    t.child.expect(r"\[#* *\] +\d/2")
    (s.state / "seen").touch()
    assert t.end()[1] == 0


@pytest.mark.ways("dagz")
def test_an_agent_reads_failures_without_colours_and_a_line_of_json(suite, way):
    code = {"test_a.py": "def test_ok(): pass\ndef test_bad(): assert 1 == 2"}
    t = Terminal(suite(code), env={"CLAUDECODE": "1"})
    text, code = t.end()
    assert code == 1 and "\x1b[" not in t.raw
    told = json.loads(text.strip().splitlines()[-1])
    assert (told["schema"], told["run"], told["failed"], told["exit_code"]) == ("dagz.summary/1", 2, 1, 1)


@pytest.mark.ways("plain", "dagz")
def test_off_a_terminal_there_are_no_escape_codes(suite, way):
    result = suite({"test_a.py": "def test_a(): assert 0"}).run()
    assert "\x1b" not in result.out + result.err


@pytest.mark.ways("plain", "dagz")
def test_colour_when_asked_for(suite, way):
    result = suite({"test_a.py": "def test_a(): assert 0"}).run("--color=yes")
    assert "\x1b[31m" in result.out
    assert not re.search("\x1b\\[[0-9]*[ABCDJ]", result.out)


@pytest.mark.ways("plain", "dagz")
def test_without_a_terminal_reporter(suite, way):
    result = suite({"test_a.py": "def test_a(): assert 0"}).run("-p", "no:terminal")
    assert result.code == 1 and result.out == ""


@pytest.mark.ways("dagz")
def test_the_first_line_says_what_and_where(suite, way):
    s = suite({"test_a.py": "def test_a(): pass"})
    result = s.run()
    first = next(line for line in result.out.splitlines() if line.startswith("dagz: 1 test"))
    assert "2 workers" in first and "job " in first and str(s.state / "dagz") in first
    assert "zb " in result.out, "what to type next"


@pytest.mark.ways("dagz")
def test_failures_are_told_as_they_happen_and_tracebacks_once(suite, way):
    s = suite({"test_a.py": "def test_a():\n    assert 'needle' == ''\n"})
    result = s.run()
    assert result.out.count(">       assert 'needle' == ''") == 1


@pytest.mark.ways("dagz")
@pytest.mark.parametrize("where", [[], ["-qq"], ["-p", "no:terminal"]])
def test_the_summary_as_json(suite, way, where):
    import json

    s = suite({"test_a.py": "def test_a(): pass\ndef test_b(): assert 0"})
    path = s.path.parent / "summary.json"
    assert s.run(*where, f"--dagz-summary={path}").code == 1
    summary = json.loads(path.read_text())
    assert summary["collected"] == 2 and summary["counted"] == 2
    assert summary["lost"] == 0 and summary["duplicates"] == 0


if sys.platform != "linux":  # pragma: no cover
    pytest.skip("dagz runs on Linux", allow_module_level=True)
