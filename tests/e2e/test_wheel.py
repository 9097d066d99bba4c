"""The wheel needs nothing but Python, pytest and glibc: checked in an environment of its own."""

from __future__ import annotations

import os
import re
import subprocess
import zipfile
from pathlib import Path

import pytest
import venvs

GLIBC = re.compile(r"ld-linux|lib(c|m|dl|rt|pthread|resolv|util|mvec|anl|nsl)\.so|linux-vdso")
SIZE_MAX = 20_000_000


@pytest.fixture(scope="module")
def venv() -> Path:
    return venvs.get("bare")


@pytest.fixture(scope="module")
def package(venv: Path) -> Path:
    return venvs.site_packages(venv) / "dagz"


def bare(*argv: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run with an empty environment."""
    command = [str(each) for each in argv]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)


def elf_files(package: Path) -> list[Path]:
    found = [*package.glob("bin/*"), *package.glob("lib/*.so*"), *package.glob("*.so")]
    return sorted(path for path in found if path.read_bytes()[:4] == b"\x7fELF")


def test_programs_and_libraries_are_there(package: Path) -> None:
    for name in ("bin/dagz-agent", "bin/zb"):
        assert os.access(package / name, os.X_OK), name
    assert any(package.glob("lib/libzmq.so*"))
    licences = (package / "lib/licences.txt").read_text(errors="replace")
    assert "==== libzmq5 ====" in licences and "==== zlib1g ====" in licences


def test_every_library_is_found_in_the_wheel_or_is_glibc(package: Path) -> None:
    for program in sorted(package.glob("bin/*")):
        done = bare(program, "--version", LD_DEBUG="libs")
        opened = re.findall(r"calling init: (\S+)", done.stderr)
        outside = [each for each in opened if not Path(each).resolve().is_relative_to(package.resolve())]
        assert opened, done.stderr
        assert [each for each in outside if not GLIBC.search(Path(each).name)] == []


def test_no_file_of_the_wheel_names_a_directory_to_search_but_its_own(package: Path) -> None:
    for path in elf_files(package):
        dynamic = subprocess.check_output(["readelf", "-d", str(path)], text=True)
        for kind, value in re.findall(r"\((RPATH|RUNPATH)\).*\[(.*)\]", dynamic):
            assert (kind, value) == ("RPATH", "$ORIGIN/../lib"), path


def test_the_extension_brings_no_foreign_library_into_python(package: Path) -> None:
    (extension,) = package.glob("_dagz*.so")
    dynamic = subprocess.check_output(["readelf", "-d", str(extension)], text=True)
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic)
    assert [name for name in needed if not GLIBC.search(name)] == []


def test_zb_runs_by_each_of_its_names(venv: Path, package: Path, tmp_path: Path) -> None:
    for program in (package / "bin/zb", venv / "bin/zb", venv / "bin/dagz"):
        done = bare(program, "--version", HOME=str(tmp_path))
        assert done.returncode == 0 and re.search(r"\d+\.\d+\.\d+", done.stdout), (program, done)


@pytest.mark.skipif("DAGZ_WHEEL" not in os.environ, reason="no wheel is named")
def test_the_wheel_is_small_and_honestly_tagged(venv: Path) -> None:
    wheel = Path(os.environ["DAGZ_WHEEL"])
    code = "import platform; print(*platform.libc_ver(), platform.machine())"
    libc, version, machine = subprocess.check_output([venv / "bin/python", "-c", code], text=True).split()
    assert wheel.stat().st_size < SIZE_MAX
    assert libc == "glibc"
    assert wheel.stem.endswith(f"manylinux_{version.replace('.', '_')}_{machine}")
    with zipfile.ZipFile(wheel) as content:
        needed = [glibc_needed(content.read(n)) for n in content.namelist() if is_elf_name(n)]
    assert max(needed) <= tuple(int(part) for part in version.split("."))


def is_elf_name(name: str) -> bool:
    return bool(re.search(r"\.so(\.[\d.]+)?$|/bin/", name))


def glibc_needed(data: bytes) -> tuple[int, int]:
    """The newest GLIBC symbol version that an ELF file names."""
    versions = re.findall(rb"\bGLIBC_(\d+)\.(\d+)", data)
    return max(((int(major), int(minor)) for major, minor in versions), default=(0, 0))
