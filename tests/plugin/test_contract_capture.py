"""Output: what a test writes is in its sections, in order, whatever wrote it and how."""

from __future__ import annotations

import pytest

PLAIN = pytest.mark.ways("plain", "dagz")


def sections(result, nodeid, when="call"):
    report = result.report(nodeid, when)
    return dict(report.sections)


@pytest.mark.smoke
def test_streams_of_each_phase_have_their_sections(suite):
    s = suite(
        {
            "test_a.py": """
                import logging, sys, pytest
                @pytest.fixture
                def noisy():
                    print("setup out"); print("setup err", file=sys.stderr)
                    yield
                    print("teardown out"); logging.warning("teardown log")
                def test_a(noisy):
                    print("call out"); print("call err", file=sys.stderr); logging.warning("call log")
                    assert 0
            """
        }
    )
    result = s.run()
    assert sections(result, "::test_a", "setup") == {
        "Captured stdout setup": "setup out\n",
        "Captured stderr setup": "setup err\n",
    }
    call = sections(result, "::test_a", "call")
    assert call["Captured stdout call"] == "call out\n" and call["Captured stderr call"] == "call err\n"
    assert "call log" in call["Captured log call"]
    last = sections(result, "::test_a", "teardown")
    assert last["Captured stdout teardown"] == "teardown out\n"
    assert "teardown log" in last["Captured log teardown"]
    names = [name for name, _ in result.report("::test_a", "teardown").sections]
    assert names == [
        "Captured stdout setup",
        "Captured stderr setup",
        "Captured stdout call",
        "Captured stderr call",
        "Captured log call",
        "Captured stdout teardown",
        "Captured log teardown",
    ]
    for text in ("setup out\n", "setup err\n", "call out\n", "call err\n", "teardown out\n"):
        assert result.out.count(text) == 1


@pytest.mark.smoke
def test_output_of_descriptors_c_code_and_children(suite):
    s = suite(
        {
            "test_a.py": """
                import ctypes, os, subprocess, sys
                def test_fd():
                    print("one", flush=True)
                    os.write(1, b"two\\n")
                    subprocess.run(["sh", "-c", "echo three"])
                    ctypes.CDLL(None).puts(b"four"); ctypes.CDLL(None).fflush(None)
                    print("five")
                def test_err():
                    os.write(2, b"err by fd\\n")
                    subprocess.run(["sh", "-c", "echo err by child >&2"])
                def test_system():
                    os.system("echo by system")
                def test_multiprocessing():
                    import multiprocessing
                    child = multiprocessing.get_context("fork").Process(target=os.write, args=(1, b"forked\\n"))
                    child.start(); child.join()
            """
        }
    )
    result = s.run()
    assert result.code == 0
    text = result.report("::test_fd").section("Captured stdout call")
    assert text.splitlines() == ["one", "two", "three", "four", "five"] and "\r" not in text
    err = result.report("::test_err")
    both = err.section("Captured stdout call") + err.section("Captured stderr call")
    assert both == "err by fd\nerr by child\n"
    assert result.report("::test_system").section("Captured stdout call") == "by system\n"
    assert result.report("::test_multiprocessing").section("Captured stdout call") == "forked\n"


def test_odd_bytes_and_missing_newlines(suite):
    s = suite(
        {
            "test_a.py": r"""
                import os, sys
                def test_binary(): os.write(1, b"a\xff\xfe\x00b\n")
                def test_no_newline(): print("no newline", end="")
                def test_after(): print("after")
                def test_unicode(): print("grün 漢字 \U0001f600")
                def test_crlf(): print("one\r\ntwo\rthree")
                def test_colour(): print("\x1b[31mred\x1b[0m")
                def test_buffer(): sys.stdout.buffer.write(b"raw\n")
                def test_control(): os.write(1, b"bell\x07 eof\x04 intr\x03 stop\x13 go\x11\n")
                def test_empty(): pass
            """
        }
    )
    result = s.run()
    assert result.code == 0
    out = {r.nodeid[11:]: r.section("Captured stdout call") for r in result.reports if r.when == "call"}
    assert out["test_no_newline"] == "no newline" and out["test_after"] == "after\n"
    assert out["test_unicode"] == "grün 漢字 \U0001f600\n"
    assert out["test_crlf"] == "one\r\ntwo\rthree\n"
    assert out["test_colour"] == "\x1b[31mred\x1b[0m\n"
    assert out["test_buffer"] == "raw\n" and out["test_empty"] == ""
    assert out["test_control"] == "bell\x07 eof\x04 intr\x03 stop\x13 go\x11\n"
    assert out["test_binary"].startswith("a") and out["test_binary"].endswith("b\n")


@pytest.mark.parametrize("how", ["print", "fd"])
def test_five_megabytes(suite, how):
    write = {"print": "print('x' * 99)", "fd": "os.write(1, b'x' * 99 + b'\\n')"}[how]
    s = suite(
        {
            "test_a.py": f"import os\ndef test_a():\n    for _ in range(52_000): {write}\ndef test_b(): print('b')"
        }
    )
    result = s.run()
    assert result.code == 0
    assert len(result.report("::test_a").section("Captured stdout call")) == 5_200_000
    assert result.report("::test_b").section("Captured stdout call") == "b\n"


def test_a_child_that_writes_more_than_a_pipe_holds_does_not_block(suite):
    s = suite(
        {
            "test_a.py": """
                import subprocess
                def test_a(): subprocess.run(["sh", "-c", "yes 0123456789 | head -n 100000"], check=True)
            """
        }
    )
    result = s.run()
    assert result.code == 0
    assert len(result.report("::test_a").section("Captured stdout call")) == 1_100_000


@PLAIN
def test_output_at_import_and_in_module_fixtures(suite, way):
    s = suite(
        {
            "test_a.py": """
                import pytest
                print("at import")
                @pytest.fixture(scope="module")
                def wide():
                    print("wide up")
                    yield
                    print("wide down")
                def test_a(wide): assert 0
            """,
            "test_b.py": "print('import of b')\nraise RuntimeError('no b')",
        }
    )
    result = s.run("--continue-on-collection-errors")
    assert result.report("::test_a", "setup").section("Captured stdout setup") == "wide up\n"
    assert result.report("::test_a", "teardown").section("Captured stdout teardown") == "wide down\n"
    assert "import of b" in result.out and "Captured stdout" in result.out


@pytest.mark.smoke
def test_capsys_capfd_and_caplog(suite):
    s = suite(
        {
            "test_a.py": """
                import logging, os, subprocess, sys
                def test_capsys(capsys):
                    print("one"); print("two", file=sys.stderr)
                    assert capsys.readouterr() == ("one\\n", "two\\n")
                    print("left")
                def test_capfd(capfd):
                    os.write(1, b"one\\n"); os.write(2, b"two\\n"); print("three")
                    subprocess.run(["sh", "-c", "echo four"])
                    out, err = capfd.readouterr()
                    assert sorted(out.split()) == ["four", "one", "three"] and err == "two\\n"
                def test_binary(capfdbinary):
                    os.write(1, b"\\xff\\x00")
                    assert capfdbinary.readouterr().out == b"\\xff\\x00"
                def test_disabled(capsys):
                    print("hidden")
                    with capsys.disabled(): print("SHOWN AT ONCE")
                    assert capsys.readouterr().out == "hidden\\n"
                def test_caplog(caplog):
                    with caplog.at_level("INFO"):
                        logging.getLogger("x").info("hello")
                    assert caplog.record_tuples == [("x", 20, "hello")]
                def test_after(): print("plain again")
            """
        }
    )
    result = s.run()
    assert result.code == 0 and result.counts == {"passed": 6}
    assert result.report("::test_capsys").section("Captured stdout call") == "left\n"
    assert result.report("::test_after").section("Captured stdout call") == "plain again\n"


@PLAIN
@pytest.mark.parametrize("args", [["-s"], ["--capture=no"], ["--capture=sys"], ["--capture=tee-sys"]])
def test_capture_options(suite, way, args):
    s = suite(
        {
            "test_a.py": """
                import sys
                def test_a(): print("to out"); print("to err", file=sys.stderr); assert 0
            """
        }
    )
    result = s.run(*args)
    assert result.code == 1
    captured = result.report("::test_a").section("Captured stdout call")
    assert captured == ("" if args[0] in ("-s", "--capture=no") else "to out\n")
    shown = (result.out + result.err).count("to out\n")
    # -s: as it is written; tee: then, and in the failure; sys: in the failure
    assert shown == {"-s": 1, "--capture=no": 1, "--capture=sys": 1, "--capture=tee-sys": 2}[args[0]]


@PLAIN
def test_live_logs(suite, way):
    s = suite(
        {
            "pytest.ini": "[pytest]\nlog_cli = true\nlog_cli_level = INFO\n",
            "test_a.py": "import logging\ndef test_a(): logging.info('spoken live')",
        }
    )
    result = s.run()
    assert result.code == 0 and "spoken live" in result.out


@PLAIN
def test_show_capture(suite, way):
    s = suite({"test_a.py": "def test_a(): print('noise'); assert 0"})
    assert "noise\n" not in s.run("--show-capture=no").out.replace("print('noise')", "")
    assert "Captured stdout call" in s.run().out


@PLAIN
def test_passed_output_in_the_summary(suite, way):
    s = suite({"test_a.py": "def test_a(): print('of a passed test')"})
    result = s.run("-rP")
    assert result.out.count("of a passed test") == 1 and "= PASSES =" in result.out


@PLAIN
def test_stdin_is_refused_while_output_is_captured(suite, way):
    s = suite({"test_a.py": "def test_a(): input()"})
    result = s.run()
    assert result.code == 1
    assert "reading from stdin while output is captured!  Consider using `-s`." in result.out


@PLAIN
def test_stdin_under_s_is_at_its_end(suite, way):
    s = suite({"test_a.py": "import pytest\ndef test_a(): input()"})
    result = s.run("-s")
    assert result.code == 1 and "EOFError" in result.out
    if s.is_dagz:
        assert "--dagz-workers=0" in result.out


@pytest.mark.ways("dagz")
def test_tty_when_asked_for(suite, way):
    s = suite(
        {
            "pytest.ini": "[pytest]\ndagz_tty = true\n",
            "test_a.py": "import sys\ndef test_a(): assert sys.stdout.isatty() and sys.stderr.isatty()",
        }
    )
    assert s.run().code == 0


@pytest.mark.ways("dagz")
def test_fd_1_is_a_raw_terminal(suite, way):
    s = suite(
        {
            "test_a.py": """
                import os, termios
                def test_a():
                    assert os.isatty(1) and os.isatty(2)
                    flags = termios.tcgetattr(1)
                    assert not flags[1] & termios.OPOST and not flags[3] & (termios.ECHO | termios.ICANON)
                def test_stdin():
                    assert os.read(0, 1) == b"" and os.readlink("/proc/self/fd/0") == "/dev/null"
            """
        }
    )
    assert s.run().code == 0


@pytest.mark.ways("dagz")
def test_capture_by_pytest_when_asked_for(suite, way):
    s = suite(
        {
            "pytest.ini": "[pytest]\ndagz_capture = pytest\n",
            "test_a.py": "import os\ndef test_a(): os.write(2, b'to fd 2'); os.write(1, b'to fd 1')",
        }
    )
    result = s.run()
    assert result.code == 0
    assert result.report("::test_a").section("Captured stderr call") == "to fd 2"
    assert result.report("::test_a").section("Captured stdout call") == "to fd 1"


@PLAIN
def test_a_test_that_replaces_or_closes_streams(suite, way):
    s = suite(
        {
            "test_a.py": """
                import contextlib, io, os, sys
                def test_redirect():
                    with contextlib.redirect_stdout(io.StringIO()) as text: print("inside")
                    assert text.getvalue() == "inside\\n"; print("outside")
                def test_dup2():
                    saved = os.dup(1)
                    with open(os.devnull, "w") as null: os.dup2(null.fileno(), 1)
                    os.write(1, b"lost"); os.dup2(saved, 1); os.close(saved); os.write(1, b"kept\\n")
                def test_after(): print("fine")
            """
        }
    )
    result = s.run()
    assert result.code == 0
    assert result.report("::test_redirect").section("Captured stdout call") == "outside\n"
    assert result.report("::test_dup2").section("Captured stdout call") == "kept\n"
    assert result.report("::test_after").section("Captured stdout call") == "fine\n"


@pytest.mark.ways("plain", "xdist", "dagz")
def test_faulthandler_and_logging_of_threads(suite, way):
    s = suite(
        {
            "test_a.py": """
                import threading
                def test_thread():
                    thread = threading.Thread(target=print, args=("from a thread",)); thread.start(); thread.join()
                def test_unraisable():
                    thread = threading.Thread(target=lambda: 1 / 0); thread.start(); thread.join()
            """
        }
    )
    result = s.run()
    assert result.report("::test_thread").section("Captured stdout call") == "from a thread\n"
    assert any(w["category"] == "PytestUnhandledThreadExceptionWarning" for w in result.of("warning"))
