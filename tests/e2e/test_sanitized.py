"""The extension under the sanitizers, in an interpreter that knows nothing of them.

Everywhere else Python loads the extension of a release wheel; here it loads the one of the `dev`
build, with the sanitizer's library preloaded.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest
import venvs
from lab import Lab

SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
EXTENSION = venvs.BUILD / "dev/pyplugin" / f"_dagz{SUFFIX}"
SUITE = {
    "test_a.py": """
        import os, subprocess, sys
        import pytest

        @pytest.mark.parametrize("i", range(200))
        def test_many(i):
            assert i != 77

        def test_python_and_children_say_much(capsys):
            print("x" * 300_000)
            assert len(capsys.readouterr().out) == 300_001
            subprocess.run([sys.executable, "-c", "print('y' * 300_000)"], check=True)

        def test_said_and_failed():
            print("seen")
            assert 0

        def test_dies():
            os._exit(3)

        def test_after():
            pass
    """
}


def libraries() -> list[str]:
    """Paths of the runtime libraries of gcc's sanitizers."""
    names = ("libasan.so", "libubsan.so")
    found = [subprocess.check_output(["gcc", f"-print-file-name={n}"], text=True).strip() for n in names]
    return [path for path in found if os.path.isabs(path)]


@pytest.mark.skipif(not EXTENSION.exists(), reason="there is no dev build for this interpreter")
def test_a_run_with_output_failures_and_a_crash(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    ignored = shutil.ignore_patterns("*.so", "__pycache__", "bin", "lib")
    shutil.copytree(venvs.ROOT / "pyplugin/dagz", tree / "dagz", ignore=ignored)
    shutil.copy(EXTENSION, tree / "dagz")
    project = Lab(tmp_path).project(SUITE)
    env = {
        "PYTHONPATH": os.pathsep.join([str(tree), str(venvs.ROOT / "tests/support/inject")]),
        "LD_PRELOAD": " ".join(libraries()),
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1",
        "PYTHONMALLOC": "malloc",
    }
    result = project.run("dagz", "-q", env=env)
    print(result)
    assert result.code == 1
    assert result.counts == {"failed": 3, "passed": 201}
    assert "AddressSanitizer" not in result.err + result.out
    assert "runtime error" not in result.err + result.out
    assert result.left == []
