"""No function above 60 lines, no file above 500: C and Python alike."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import tree

FUNCTION_MAX = 60
FILE_MAX = 500


def c_functions(lines: list[str]) -> Iterator[tuple[int, int]]:
    """(first line, length) of what stands between a brace in column 1 and its partner."""
    start = None
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
        elif line.startswith("}") and start is not None:
            yield start, number - start + 1
            start = None


def python_functions(text: str) -> Iterator[tuple[int, int]]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.lineno, (node.end_lineno or node.lineno) - node.lineno + 1


def rule(root: Path) -> Iterator[str]:
    for path in tree.files(root, ".c", ".h", ".py"):
        name = path.relative_to(root).as_posix()
        text = path.read_text()
        lines = text.splitlines()
        if len(lines) > FILE_MAX:
            yield f"{name}: {len(lines)} lines; a file has at most {FILE_MAX}"
        found = python_functions(text) if path.suffix == ".py" else c_functions(lines)
        for first, length in found:
            if length > FUNCTION_MAX:
                yield f"{name}:{first}: {length} lines; a function has at most {FUNCTION_MAX}"


if __name__ == "__main__":
    tree.main(rule)
