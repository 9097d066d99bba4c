"""PEP 517 back end: scikit-build-core, with a platform tag that says which glibc is needed.

A wheel bundles every shared library but glibc itself, so what it asks of a machine is the glibc
that it was built on, or a later one: ``manylinux_2_36_x86_64`` (PEP 600).  scikit-build-core says
``linux_x86_64``, which promises too much.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

from scikit_build_core.build import (  # noqa: F401  (the hooks of the interface)
    build_editable,
    build_sdist,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)
from scikit_build_core.build import build_wheel as _build_wheel


def platform_tag() -> str | None:
    """``manylinux_2_36_x86_64`` on glibc 2.36, None elsewhere."""
    libc, version = platform.libc_ver()
    if libc != "glibc":
        return None
    return f"manylinux_{version.replace('.', '_')}_{platform.machine()}"


def build_wheel(
    wheel_directory: str,
    config_settings: dict[str, list[str] | str] | None = None,
    metadata_directory: str | None = None,
) -> str:
    """Build as scikit-build-core does, then name the glibc.  Returns the file's name."""
    name = _build_wheel(wheel_directory, config_settings, metadata_directory)
    tag = platform_tag()
    if tag is None:
        return name
    command = [sys.executable, "-m", "wheel", "tags", "--remove", f"--platform-tag={tag}"]
    done = subprocess.run(
        [*command, str(Path(wheel_directory, name))], check=True, stdout=subprocess.PIPE, text=True
    )
    return Path(done.stdout.strip().splitlines()[-1]).name
