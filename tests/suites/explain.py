"""What was seen in runs of a suite, and what may explain that it differs between plain pytest and dagz.

A difference that is explained is of one of six kinds, and each says no more than it must:

- ``moved``: lines of stderr that plain pytest has are in dagz's stdout, between all of its lines in their order
- ``lettered``: a test with subtests has in plain pytest's texts their letters too (``LETTERS``)
- ``numbered``: texts are equal but for the numbers of folders right below the base directory: each worker has a
  base directory of its own and counts there, as under xdist
- ``named``: texts are equal but for a name that belongs to that worker alone (``Suite.worker_names``)
- ``plain``: another plain run, of the suite, of that test alone or of its file with objects elsewhere, saw what
  dagz saw
- ``varies``: the outcome is the same, and texts are equal but for places in which two plain runs differ as well,
  or they have the same words in another order as two plain runs do
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

PHASES = ("setup", "call", "teardown")
TOKENS_MAX = 4_000  # longer texts are looked at by line
CHANCE_MAX = 5  # so many letters in a row, without room, random texts have in common by chance

VOLATILE = [
    (re.compile(r"0x[0-9a-fA-F]{6,}"), "0x"),
    (re.compile(r"\b\d+\.\d+(e-?\d+)?\s?(s|ms|us|seconds?)\b"), "TIME"),
    # the base directory, also as seen from elsewhere
    (
        re.compile(r"((?<![\w.+-])[\w.+-]+)?(/[\w.+-]+)*/?\bpytest-of-\w+/pytest-\d+(/popen-gw\d+)?"),
        "BASETEMP",
    ),
    (re.compile(r"\b[Pp]id[= ]\d+"), "PID"),
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d[.,]\d+"), "NOW"),
    (re.compile(r"\[\d\d/[A-Z][a-z]{2}/\d{4} \d\d:\d\d:\d\d\]"), "[NOW]"),  # logs of web servers
    (re.compile(r"\b1\d{14}\b"), "ID"),  # id() of an object on the heap
    # frames of whoever calls the test, in a stack that the test prints: with its source line
    (
        re.compile(
            r'(\n|\\n) *File "[^"]*(/_?pytest/|/pluggy/|/dagz/|runpy)[^"]*", line \d+, in [\w<>.]+((\n|\\n)    [^\\\n]*)?'
        ),
        "",
    ),
]

# Plain pytest's reporter prints the letter of a unittest subtest into the capture of that very test.  Under
# dagz the reporter is in another process, where it cannot.
LETTERS = re.compile(r"[u,]+( +\[ *\d+%\]\n)?[u,]*")
PROGRESS = re.compile(r" +\[ *\d+%\]\n")
SUBTEST = '["SubtestReport"'

Key = tuple[str, str]  # node id and phase, or another kind
Seen = dict[Key, Counter[str]]  # what was seen there, each execution one string
Names = Sequence[tuple[str, str]]


def steady(text: str) -> str:
    """Take out what differs between any two runs: addresses, times, temporary directories."""
    for pattern, put in VOLATILE:
        text = pattern.sub(put, text)
    return text


def apart(one: str, two: str) -> tuple[str, str]:
    """What is shown of two texts: their heads, and where they part."""
    at = len(os.path.commonprefix([one, two]))
    if at < 200:
        return one[:400], two[:400]
    return f"{one[:100]} ... {one[at - 80 : at + 220]}", f"{two[:100]} ... {two[at - 80 : at + 220]}"


def own_names(lines: Iterable[Mapping[str, Any]], names: Names) -> dict[Any, list[tuple[str, str]]]:
    """For each worker the names that are its own: the only one of a pattern in all that it printed, and in
    nothing that another one printed."""
    own: dict[Any, list[tuple[str, str]]] = defaultdict(list)
    tests = [line for line in lines if line["kind"] == "test"]
    for pattern, put in names:
        found: dict[Any, set[str]] = defaultdict(set)
        for line in tests:
            for _, text in line["sections"]:
                found[line["worker"]].update(match.group(0) for match in re.finditer(pattern, text))
        owners = Counter(name for these in found.values() for name in these)
        for worker, these in found.items():
            if len(these) == 1 and owners[min(these)] == 1:
                own[worker].append((min(these), put))
    return own


def seen_of(lines: Iterable[Mapping[str, Any]], names: Names = ()) -> Seen:
    """names: (pattern, text): a worker's own name is replaced in what it printed."""
    found: Seen = defaultdict(Counter)
    lines = list(lines)
    with_subtests = {line["nodeid"] for line in lines if line.get("type") == "SubtestReport"}
    own = own_names(lines, names)
    for line in lines:
        kind = line["kind"]
        if kind == "test":
            nodeid = steady(line["nodeid"])
            written = line["sections"]
            if line["nodeid"] in with_subtests:
                written = [(name, text) for name, text in written if not LETTERS.fullmatch(text)]
            for name, put in own.get(line["worker"], ()):
                written = [(title, text.replace(name, put)) for title, text in written]
            sections = [[name, steady(text)] for name, text in written]
            what = [line["type"], line["outcome"], line["wasxfail"], steady(line["last"]), sections]
            found[nodeid, line["when"]][json.dumps(what)] += 1
        elif kind == "collect":
            found[line["nodeid"], "collect"][line["outcome"]] += 1
        elif kind == "warning":
            what = [line["when"], line["category"], steady(line["message"])]
            found[steady(line["nodeid"]), "warning"][json.dumps(what)] += 1
        elif kind == "deselected":
            found["", "deselected"]["count"] += line["count"]
        elif kind == "finish":
            found["", "exit"][str(line["code"])] += 1
    return found


def differing(one: Seen, two: Seen) -> list[Key]:
    return sorted(key for key in one.keys() | two.keys() if one.get(key) != two.get(key))


# ---------------------------------------------------------------- moved from one stream to the other


def streams(what: str) -> tuple[list[Any], dict[str, list[str]]]:
    *head, sections = json.loads(what)
    lines: dict[str, list[str]] = defaultdict(list)
    for name, text in sections:
        lines[name] += text.splitlines()
    return head, lines


def has_in_order(lines: Sequence[str], some: Sequence[str]) -> bool:
    rest = iter(lines)
    return all(line in rest for line in some)


def is_moved(key: Key, plain: Counter[str], dagz: Counter[str]) -> bool:
    """Did lines go from stderr to stdout, and nothing else happen?"""
    if key[1] not in PHASES or plain.total() != dagz.total():
        return False
    return all(
        only_moved(one, two)
        for one, two in zip(sorted(plain.elements()), sorted(dagz.elements()), strict=True)
    )


def only_moved(plain: str, dagz: str) -> bool:
    (one_head, one), (two_head, two) = streams(plain), streams(dagz)
    if one_head != two_head:
        return False
    for out in {name.replace("stderr", "stdout") for name in (*one, *two)}:
        err = out.replace("stdout", "stderr")
        moved = Counter(one[err]) - Counter(two[err]) if err != out else Counter[str]()
        if Counter(two[out]) != Counter(one[out]) + moved or not has_in_order(two[out], one[out]):
            return False
        if not has_in_order(one[err], two[err]):
            return False
    return True


# ---------------------------------------------------------------- letters of subtests


def divided(seen: Seen) -> set[str]:
    """Tests that have subtests."""
    return {key[0] for key, found in seen.items() if any(what.startswith(SUBTEST) for what in found)}


def is_lettered(key: Key, plain: Counter[str], dagz: Counter[str]) -> bool:
    """Do texts of a test with subtests differ by their letters alone?"""
    if key[1] not in PHASES or heads(plain) != heads(dagz):
        return False
    for pair in zip(sorted(plain.elements()), sorted(dagz.elements()), strict=True):
        one, two = map(texts, pair)
        if not all(has_letters_more(one[name], two[name]) for name in one.keys() | two.keys()):
            return False
    return True


def has_letters_more(plain: str, dagz: str) -> bool:
    at = 0
    for letter in PROGRESS.sub("", plain):
        if dagz[at : at + 1] == letter:
            at += 1
        elif letter not in "u,":
            return False
    return at == len(dagz)


# ---------------------------------------------------------------- numbers of temporary folders

NUMBERED = re.compile(r"(?<=BASETEMP/)([\w.+-]*?)(\d+)(?![\w+-])")


def renumbered(what: str) -> str:
    """Folders that ``tmp_path_factory`` numbered get their numbers in the order in which this test names them."""
    given: dict[str, dict[str, int]] = defaultdict(dict)

    def number(match: re.Match[str]) -> str:
        name, old = match.groups()
        return f"{name}{given[name].setdefault(old, len(given[name]))}"

    return NUMBERED.sub(number, what)


def with_numbers_anew(seen: Counter[str]) -> Counter[str]:
    found: Counter[str] = Counter()
    for what, times in seen.items():
        found[renumbered(what)] += times
    return found


# ---------------------------------------------------------------- texts that vary


def tokens(text: str) -> list[str]:
    found = re.findall(r"\w+|\W", text)
    return found if len(found) <= TOKENS_MAX else text.splitlines(keepends=True)


def varies_as(one: str, other: str, dagz: str) -> bool:
    """Does `dagz` differ from one plain text only where the other plain text does?"""
    if dagz in (one, other):
        return True
    if one == other:
        return False
    a, b = tokens(one), tokens(other)
    words = [Counter("#" if word.isdigit() else word for word in tokens(text)) for text in (one, other, dagz)]
    if words[0] == words[1] == words[2]:
        return True
    steps = SequenceMatcher(None, a, b, autojunk=False).get_opcodes()
    parts: list[str | None] = []  # None: anything
    for at, (tag, start, end, _, _) in enumerate(steps):
        text = "".join(a[start:end])
        if tag == "equal" and not (0 < at < len(steps) - 1 and is_chance(text)):
            parts.append(text)
        elif parts[-1:] != [None]:
            parts.append(None)
    return fits(dagz, parts)


def fits(text: str, parts: Sequence[str | None]) -> bool:
    """Whether the text is these parts in their order."""
    at, is_free = 0, False
    for part in parts[:-1]:
        if part is None:
            is_free = True
            continue
        found = text.find(part, at)
        if found < 0 or (found > at and not is_free):
            return False
        at, is_free = found + len(part), False
    last = parts[-1]
    if last is None:
        return True
    rest = len(text) - len(last)
    return text.endswith(last) and (at <= rest if is_free else at == rest)


def is_chance(text: str) -> bool:
    """Whether two random texts may have this in common."""
    return len(text) <= CHANCE_MAX and not re.search(r"\s", text)


def heads(seen: Counter[str]) -> list[str]:
    """The outcomes, without texts."""
    return sorted(json.dumps(json.loads(text)[:3]) for text in seen.elements())


def texts(what: str) -> dict[str, str]:
    *_, last, sections = json.loads(what)
    joined: dict[str, str] = defaultdict(str, last=last)
    for name, text in sections:
        joined[name] += text
    return joined


def kind_of(key: Key, plain: Counter[str], other: Counter[str], dagz: Counter[str]) -> str | None:
    """What the other plain run says about a difference: "plain", "varies", or nothing."""
    if other == dagz:
        return "plain"
    if key[1] not in PHASES or not other or heads(plain) != heads(dagz):
        return None
    if heads(other) != heads(plain) or plain.total() != other.total():
        return None
    for three in zip(*(sorted(seen.elements()) for seen in (plain, other, dagz)), strict=True):
        one, two, ours = map(texts, three)
        names = one.keys() | two.keys() | ours.keys()
        if not all(varies_as(one[name], two[name], ours[name]) for name in names):
            return None
    return "varies"
