"""The part of requirements.lock that grading needs, for pip with hashes: nothing of the extras."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from grader.errors import CourseError

_PIN = re.compile(r"([A-Za-z0-9._-]+)==")
_VIA = re.compile(r"#(?:\s*via)?\s*([A-Za-z0-9._-]+)?")


@dataclass(frozen=True)
class Pin:
    """A package of the lock file. lines: without comments. via: who wants it."""

    name: str
    lines: tuple[str, ...]
    via: frozenset[str]


def locked(lock: str, wanted: Iterable[str]) -> str:
    """The pins of the packages `wanted` and of everything that these need, with their hashes.

    The comments of uv say of each package which others want it.

    Raises:
        CourseError: the lock lacks a package, or says of none who wants it.
    """
    pins: dict[str, list[Pin]] = {}
    for pin in _pins(lock):
        pins.setdefault(pin.name, []).append(pin)  # several where versions of Python need different ones
    roots = {_normal(re.split(r"[<>=!~;\[ ]", requirement, maxsplit=1)[0]) for requirement in wanted}
    if missing := sorted(roots - pins.keys()):
        raise CourseError(f"requirements.lock has no {missing[0]}; `make lock` pins what pyproject.toml asks for")
    if not any(pin.via & pins.keys() for same in pins.values() for pin in same):
        raise CourseError("requirements.lock does not say which package wants which (`# via`); `make lock` writes it so")
    kept = _closure(pins, roots)
    return "".join(f"{line}\n" for name in sorted(kept) for pin in pins[name] for line in pin.lines)


def _closure(pins: Mapping[str, Sequence[Pin]], roots: set[str]) -> set[str]:
    kept = set(roots)
    while more := {name for name, same in pins.items() if name not in kept and any(pin.via & kept for pin in same)}:
        kept |= more
    return kept


def _pins(lock: str) -> Iterator[Pin]:
    name, lines, via = "", list[str](), set[str]()
    for line in lock.splitlines():
        start = _PIN.match(line)
        if start:
            if name:
                yield Pin(name, tuple(lines), frozenset(via))
            name, lines, via = _normal(start[1]), [line], set()
        elif line.strip().startswith("#"):
            found = _VIA.fullmatch(line.strip().removesuffix("(pyproject.toml)").strip())
            via |= {_normal(found[1])} if found and found[1] else set()
        elif line.strip():
            lines.append(line)
    if name:
        yield Pin(name, tuple(lines), frozenset(via))


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).casefold()
