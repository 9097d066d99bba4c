"""Virtual environments that tests, suites and benchmarks run in: made once, found again.

An environment is a name, an interpreter and a list of requirements.  It lives in
``build/venvs/<name>-<digest>``; the digest is over interpreter version and requirements, so that a
changed list makes a new one and an unchanged list costs one ``stat``.  Making is guarded by a file
lock: parallel callers wait for the first.  There is no pip in it unless a requirement names it: putting
that in would take as long as all the rest, and the one of ``build/venv`` installs into all of them.

The product is put in apart from the requirements (`put_product`), since it changes more often:

- ``DAGZ_WHEEL=FILE``: that wheel is installed, and again when the file changes;
- ``DAGZ_TREE=DIR``: a directory with an importable ``dagz`` package, linked by a ``.pth`` file, with
  a hand-made entry point (for people who build with cmake and do not want a wheel each time);
- neither: the newest wheel in ``build/wheel``, built by ``pip wheel`` when there is none.

    python tests/support/venvs.py NAME...      makes environments and prints their directories
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("DAGZ_BUILD", ROOT / "build"))
ENTRY_POINT = "dagz = dagz.plugin"
INSTALL_TRIES = 3

PYTEST = "pytest==9.*"
XDIST = "pytest-xdist==3.*"
PLUGINS = [
    "pytest-cov==7.*",
    "pytest-django==4.*",
    "django==5.*",
    "pytest-timeout==2.*",
    "pytest-rerunfailures==16.*",
    "pytest-asyncio==1.*",
    "pytest-html==4.*",
    "pytest-benchmark==5.*",
    "pytest-mock==3.*",
    "hypothesis==6.*",
    "anyio==4.*",
    "trio==0.*",
]
# Plugins that only have to do what they do without workers: each has a smoke test.
MORE = [
    "pytest-random-order==1.*",
    "pytest-instafail",
    "pytest-json-report",
    "pytest-xprocess",
    "pytest-httpserver",
    "pytest-flask",
    "pytest-aiohttp",
    "allure-pytest",
]
# These change every run they are installed in (order, terminal): each is only in its own place.
RANDOMLY = ["pytest-randomly==4.*"]
SUGAR = ["pytest-sugar==1.*"]
# Its newest release asks pytest 9 for a name that is gone.
BDD = ["pytest==8.*", "pytest-bdd==8.*"]
# Older than the subtests fixture that pytest 9 has in its core.
SUBTESTS = ["pytest==8.*", "pytest-subtests==0.14.*"]

VENVS: dict[str, list[str]] = {
    "driver": [PYTEST, XDIST, "pexpect==4.*", "jsonschema==4.*", "openapi-spec-validator==0.7.*"],
    "bare": [PYTEST, "psycopg[binary]==3.*"],
    "xdist": [PYTEST, XDIST, "psycopg[binary]==3.*"],
    "plugins": [PYTEST, XDIST, *PLUGINS],
    "plugins-bare": [PYTEST, *PLUGINS],
    "more": [PYTEST, XDIST, *MORE],
    "more-bare": [PYTEST, *MORE],
    "randomly": [PYTEST, XDIST, *RANDOMLY],
    "randomly-bare": [PYTEST, *RANDOMLY],
    "sugar": [PYTEST, XDIST, *SUGAR],
    "sugar-bare": [PYTEST, *SUGAR],
    "bdd": [*BDD, XDIST],
    "bdd-bare": BDD,
    "subtests": [*SUBTESTS, XDIST],
    "subtests-bare": SUBTESTS,
    "oldest": ["pytest==7.4.*", "pytest-xdist==3.5.*", "psycopg[binary]==3.*"],
    "oldest-bare": ["pytest==7.4.*", "psycopg[binary]==3.*"],
}


def interpreter(version: str) -> str | None:
    """Path of ``python<version>`` ("3.12"), or None where the machine has none that starts."""
    if version == "{}.{}".format(*sys.version_info):
        return sys.executable
    for found in _candidates(version):
        probe = "import sys, venv; print('%d.%d' % sys.version_info[:2])"
        answer = subprocess.run([found, "-c", probe], capture_output=True, text=True)
        if answer.stdout.strip() == version:
            return str(found)
    return None


def _candidates(version: str) -> list[Path]:
    name = f"python{version}"
    dirs = [Path(d) for d in os.environ.get("PATH", "").split(os.pathsep) if d]
    found = [d / name for d in dirs if (d / name).exists()]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    return found + sorted(pyenv.glob(f"{version}.*/bin/{name}"))


@contextmanager
def lock(path: Path):
    """Hold an exclusive lock on `path` (made if missing)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _run(*argv: str | Path, **kwargs) -> None:
    done = subprocess.run(
        [str(a) for a in argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **kwargs
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, argv))}: exit {done.returncode}\n{done.stdout}")


def _clean_env() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "PYTHON"))}


def pip_for(python: str | Path) -> list[str]:
    """How the pip of ``build/venv`` is called for another interpreter, which need not have one."""
    return [str(BUILD / "venv/bin/python"), "-m", "pip", "--python", str(python)]


def pip(python: Path, *args: str | Path) -> None:
    _run(*pip_for(python), *args, env=_clean_env())


def pip_install(python: Path, *args: str | Path) -> None:
    """``pip install`` with a few tries: an index may be slow or cut off for a moment."""
    for left in reversed(range(INSTALL_TRIES)):
        try:
            pip(python, "install", "-q", "--no-warn-script-location", *args)
            return
        except RuntimeError:
            if not left:
                raise


def make(name: str, requirements: Sequence[str], python: str = "") -> Path:
    """Return the directory of the environment, made now if it is not there."""
    exe = python or sys.executable
    version = subprocess.check_output([exe, "-c", "import sys; print(sys.version)"], text=True)
    text = "\n".join([version, *requirements])
    where = BUILD / "venvs" / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"
    ready = where / "ready.txt"
    if ready.exists():
        return where
    with lock(BUILD / "venvs" / f"{where.name}.lock"):
        if not ready.exists():
            shutil.rmtree(where, ignore_errors=True)
            _run(exe, "-m", "venv", "--without-pip", where, env=_clean_env())
            pip_install(where / "bin/python", *requirements)
            ready.write_text(text)
    return where


def get(name: str, python: str = "") -> Path:
    """Return a named environment of the table above, with the product in it where there is one."""
    where = make(name, VENVS[name], python)
    put_product(where)
    return where


def site_packages(venv: Path) -> Path:
    return next((venv / "lib").glob("python3*/site-packages"))


def product_tree() -> Path | None:
    """The directory named by DAGZ_TREE, or None."""
    tree = os.environ.get("DAGZ_TREE")
    return Path(tree).resolve() if tree else None


def product_wheel(python: Path) -> Path | None:
    """The wheel to install for the interpreter `python`, built if need be."""
    if "DAGZ_WHEEL" in os.environ:
        return Path(os.environ["DAGZ_WHEEL"]).resolve()
    if not (ROOT / "pyproject.toml").exists():
        return None
    code = "import sys; print('cp%d%d' % sys.version_info[:2])"
    tag = subprocess.check_output([str(python), "-c", code], text=True).strip()
    out = BUILD / "wheel"
    with lock(BUILD / f"wheel-{tag}.lock"):
        if not list(out.glob(f"*-{tag}-*.whl")):
            pip(python, "wheel", "-q", "--no-deps", "-w", out, ROOT)
    return max(out.glob(f"*-{tag}-*.whl"), key=lambda p: p.stat().st_mtime)


def put_product(venv: Path) -> None:
    """Install or link the product, unless this very one is there already."""
    if os.environ.get("DAGZ_ABSENT") == "1":
        return
    tree = product_tree()
    source = tree or product_wheel(venv / "bin/python")
    if source is None:
        return
    stamp = f"{source} {0 if tree else source.stat().st_mtime_ns}"
    note = venv / "product.txt"
    if note.exists() and note.read_text() == stamp:
        return
    with lock(venv.with_name(venv.name + ".lock")):
        if note.exists() and note.read_text() == stamp:
            return
        if tree:
            _link(venv, tree)
        else:
            pip_install(venv / "bin/python", "--no-deps", "--force-reinstall", source)
        note.write_text(stamp)


def _link(venv: Path, tree: Path) -> None:
    """Make `tree` importable and its plugin an entry point, as an installed wheel would."""
    site = site_packages(venv)
    info = site / "dagz_mesh-0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: dagz-mesh\nVersion: 0\n")
    (info / "entry_points.txt").write_text(f"[pytest11]\n{ENTRY_POINT}\n")
    (info / "RECORD").write_text("")
    (site / "dagz_tree.pth").write_text(f"{tree}\n")


def main(names: Sequence[str]) -> int:
    for name in names or VENVS:
        print(name, get(name), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
