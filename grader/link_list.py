"""checkpoint_links.txt: which link belongs to which task, and which links are paths inside the hand-in."""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

_NAMED = re.compile(r"^([\w .-]+?)\s*[:=]\s*(?!//)(\S.*)$")
_URL = re.compile(r"(?i)https?://[^\s<>\"'|]+")
_BARE_URL = re.compile(
    r"(?i)(www\.|(drive|docs)\.google\.com\b)|([a-z0-9-]+\.)+[a-z]{2,}(:\d+)?/(?!.*\.(pt|pth|ckpt|safetensors)$)"
)
"""A link without its scheme, as address bars show it: a host's name and something after it that is no checkpoint's name."""
_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:")


def parse_links(data: bytes, tasks: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """(task -> link, warnings) of the file's contents.

    A line is `task: link`, or a link alone, which belongs to the next task that has none. `#` begins a comment.

    tasks: task id -> notebook name, in lab.toml's order; a line may name either.
    """
    known = {name.casefold(): task for task, notebook in tasks.items() for name in (task, notebook, _stem(notebook))}
    named: dict[str, str] = {}
    bare: list[str] = []
    warnings: list[str] = []
    for number, line in enumerate(decode(data).splitlines(), 1):
        text = re.sub(r"(^|\s)#.*$", "", line).strip()
        if not text:
            continue
        match = _NAMED.match(text)
        if match and match[1].casefold() in known:
            named[known[match[1].casefold()]] = _unquoted(match[2])
        elif match and match[1].casefold() != "file" and len(match[1]) > 1:  # not file:… nor C:…
            warnings.append(f"checkpoint_links.txt, line {number}: {match[1]!r} is no task of this lab ({', '.join(tasks)})")
        else:
            bare.append(_unquoted(text))
    without = [task for task in tasks if task not in named]
    if len(bare) > len(without):
        warnings.append(f"checkpoint_links.txt has {len(bare) - len(without)} more links than there are tasks")
    return named | dict(zip(without, bare, strict=False)), tuple(warnings)


def inside(link: str) -> str | None:
    """The link as a clean relative path, None where it is a URL, absolute, or leads out of the hand-in."""
    path = PurePosixPath(link.replace("\\", "/"))
    if is_web(link) or _SCHEME.match(link) or path.is_absolute() or ".." in path.parts or not path.parts or "\0" in link:
        return None
    return str(path)


def is_web(link: str) -> bool:
    """Whether the link leads to the web."""
    return _URL.match(link) is not None or _BARE_URL.match(link) is not None


def decode(data: bytes) -> str:
    """A student's text in UTF-8, in Windows' UTF-16 with its mark, or else taken as Latin-1."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _unquoted(text: str) -> str:
    """The link of a line: a URL without what stands around it (a number, Markdown), else the text without quotes."""
    url = _URL.search(text)
    return url[0].rstrip(").,;]") if url else text.strip().strip("\"'<>").strip()


def _stem(notebook: str) -> str:
    return PurePosixPath(notebook).stem
