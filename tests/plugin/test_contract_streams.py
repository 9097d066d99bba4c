"""``sys.stdout`` and ``sys.stderr`` as tests see them: files, as in plain pytest."""

from __future__ import annotations

import pytest
from conftest import check

PLAIN = pytest.mark.ways("plain", "dagz")

STREAM_PROJECT = """
    import io, json, os, re, sys, pytest

    SAFE = ["closed", "fileno", "flush", "isatty", "read", "readable", "readline", "readlines", "seekable",
            "tell", "writable"]

    def shown(thing, name):
        try:
            value = getattr(thing, name)
            value = value() if name in SAFE and callable(value) else value
        except Exception as error:
            value = type(error).__name__
        if name == "fileno" or callable(value):
            return "number" if isinstance(value, int) else "function"  # it is another number
        return re.sub(r"name=\\d+|0x[0-9a-f]+", "N", repr(value))

    @pytest.mark.parametrize("name", ["stdout", "stderr"])
    def test_attributes(name, record_property):
        stream = getattr(sys, name)
        stream.write("four")
        for place, thing in (("", stream), ("buffer.", stream.buffer)):
            names = [each for each in dir(io.TextIOWrapper) + dir(io.FileIO) if not each.startswith("_")]
            record_property(place + "dir", sorted(each for each in set(names) if hasattr(thing, each)))
            record_property(place + "repr", re.sub(r"name=\\d+", "N", repr(thing)))
            for each in sorted(set(names) - {"name"}):
                record_property(place + each, shown(thing, each))
            assert isinstance(thing.name, int if place else str)
        assert isinstance(stream.buffer, io.FileIO) and type(stream).__name__ == "EncodedFile"

    @pytest.mark.parametrize("name", ["stdout", "stderr"])
    class TestFile:
        @pytest.fixture
        def stream(self, name): return getattr(sys, name)
        def test_read_at_the_end(self, stream):
            stream.write("said")
            assert stream.read() == stream.readline() == "" and list(stream) == [] and stream.tell() == 4
        def test_read_again(self, stream):
            stream.write("eins\\nzw\u00f6lf\\n")
            assert stream.tell() == 12 and stream.seek(0) == 0 and stream.read() == "eins\\nzw\u00f6lf\\n"
            stream.seek(5)
            assert stream.readline() == "zw\u00f6lf\\n" and stream.seek(0, os.SEEK_END) == 12
            stream.seek(0)
            assert list(stream) == ["eins\\n", "zw\u00f6lf\\n"]
        def test_bytes(self, stream):
            raw, place = stream.buffer, bytearray(3)
            assert raw.write(b"abcdef") == 6 and raw.seek(-4, os.SEEK_CUR) == 2
            assert raw.readinto(place) == 3 and place == b"cde" and raw.read(5) == b"f" and raw.readall() == b""
            for offset, whence in ((-1, 0), (-7, 2), (0, 9)):
                with pytest.raises(OSError): raw.seek(offset, whence)
        def test_taken_back(self, stream):
            stream.write("never mind"); stream.seek(0); stream.truncate(); stream.write("kept")
        def test_written_over(self, stream):
            stream.write("one two six"); stream.seek(4); stream.write("and"); assert stream.tell() == 7
            assert stream.read() == " six"; stream.write("!")
        def test_hole(self, stream):
            stream.write("ab"); stream.truncate(1); stream.write("c")
        def test_left_at_the_start(self, stream): stream.write("one"); stream.seek(0)
        def test_next(self, stream): assert stream.tell() == 0; stream.write("two")
    def test_written_by_descriptor():
        os.write(1, b"by fd"); assert sys.stdout.tell() == 5
"""


@PLAIN
@pytest.mark.smoke
def test_a_stream_is_the_file_that_pytest_captures_into(suite, way):
    result = suite({"test_a.py": STREAM_PROJECT}).run()
    assert result.code == 0
    for name in ("stdout", "stderr"):
        said = {
            test: result.report(f"::TestFile::test_{test}[{name}]").section(f"Captured {name} call")
            for test in ("taken_back", "written_over", "hole", "left_at_the_start", "next")
        }
        assert said == {
            "taken_back": "kept",
            "written_over": "one and six!",
            "hole": "a\0c",
            "left_at_the_start": "one",
            "next": "two",
        }


@pytest.mark.smoke
def test_each_attribute_of_a_stream_is_that_of_plain_pytest(lab):
    project = lab.project({"test_a.py": STREAM_PROJECT})
    plain, dagz = (check(project.run(way, "-k", "test_attributes")) for way in ("plain", "dagz"))
    assert plain.code == dagz.code == 0
    for name in ("stdout", "stderr"):
        one, two = (
            dict(map(tuple, r.report(f"::test_attributes[{name}]").properties)) for r in (plain, dagz)
        )
        assert len(one) > 50 and two == one


def test_streams_are_no_terminals_and_have_their_attributes(suite):
    s = suite(
        {
            "test_a.py": """
                import io, os, sys
                def test_streams():
                    for stream, fd in ((sys.stdout, 1), (sys.stderr, 2)):
                        assert not stream.isatty()
                        assert stream.encoding.lower().replace("_", "-") == "utf-8"
                        assert isinstance(stream, io.TextIOBase) and stream.writable()
                        stream.buffer.write(b"bytes"); stream.write("text"); stream.flush()
                        assert os.fstat(stream.fileno())
                    for stream in (sys.__stdout__, sys.__stderr__):
                        assert not stream.isatty()
                        stream.write("text"); stream.flush()
            """
        }
    )
    assert s.run().code == 0
    assert s.run("-s").code == 0  # nor is what this test gives them


@pytest.mark.parametrize(
    "args", [(), ("--capture=sys",), ("--capture=tee-sys",), ("-o", "dagz_capture=pytest")]
)
@pytest.mark.ways("plain", "dagz")
def test_streams_that_modules_keep_at_import_are_those_of_tests(suite, way, args):
    s = suite(
        {
            "conftest.py": "import sys\nkept = sys.stdout\n",
            "test_a.py": """
                import logging, sys
                from conftest import kept
                from sys import stderr, stdout
                handler = logging.StreamHandler()
                buffer = stdout.buffer
                def test_same():
                    assert buffer is sys.stdout.buffer and not buffer.closed
                    assert stdout is sys.stdout is kept and stderr is sys.stderr is handler.stream
                    assert not stdout.closed and stdout.encoding.lower().replace("_", "-") == "utf-8"
                def test_written():
                    stdout.write("to the kept ")
                    buffer.write(b"one\\n")
                    handler.emit(logging.makeLogRecord({"msg": "by the handler"}))
                def test_capsys(capsys):
                    print("for capsys")
                    assert capsys.readouterr().out == "for capsys\\n"
                    stdout.write("past capsys\\n")
            """,
        }
    )
    result = s.run(*args)
    assert result.code == 0 and result.counts == {"passed": 3}
    report = result.report("test_written", "teardown")
    assert report.section("Captured stdout call") == "to the kept one\n"
    assert report.section("Captured stderr call") == "by the handler\n"
    assert result.report("test_capsys", "teardown").section("Captured stdout call") == "past capsys\n"
