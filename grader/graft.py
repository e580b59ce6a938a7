"""Put bodies into a template cell and make sure that they stay inside their TODOs."""

import ast
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from grader.notebook import Region, regions

_MAGIC = re.compile(r"^(?P<indent>[ \t]*)(?:![^=]|%[A-Za-z_]|[A-Za-z_][\w.]*[ \t]*=[ \t]*[!%]).*$")
"""IPython's `!command`, `%magic` and `name = !command`, which are not Python."""


@dataclass(frozen=True)
class Origin:
    """Where a line of a grafted cell comes from: line `offset` of a TODO's body, or line `offset` of the template (from 0)."""

    todo: str | None
    offset: int


@dataclass(frozen=True)
class Grafted:
    """A template cell with bodies in it, and the origin of each line."""

    lines: tuple[str, ...]
    origins: tuple[Origin, ...]

    @property
    def source(self) -> str:
        return "\n".join(self.lines)


@dataclass(frozen=True)
class Misfit:
    """Why a body cannot stay: `line` of the grafted cell from 1, None where the parser names none."""

    message: str
    line: int | None


def graft(template: str, bodies: Mapping[str, Sequence[str]]) -> Grafted:
    """Replace the bodies of the named TODOs by the given lines; the others keep their placeholder."""
    lines, origins = [], []
    inside = {n: region for region in regions(template) for n in range(region.start + 1, region.end)}
    starts = {region.start: region for region in regions(template)}
    for number, line in enumerate(template.split("\n")):
        if number in inside and inside[number].id in bodies:
            continue
        lines.append(line)
        origins.append(_origin(number, inside.get(number)))
        if number in starts and (region := starts[number]).id in bodies:
            lines += bodies[region.id]
            origins += [Origin(region.id, offset) for offset in range(len(bodies[region.id]))]
    return Grafted(tuple(lines), tuple(origins))


def misfit(template: str, grafted: str) -> Misfit | None:
    """None where the grafted cell is valid Python in which all given statements still stand as in the template."""
    try:
        tree, masked = _parse(grafted)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the student's code; the kernel repeats them
            compile(masked, "<cell>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        stray = _skeleton(tree, regions(grafted))
        same = ast.dump(tree) == _template_skeleton(template)
    except SyntaxError as error:
        return Misfit(error.msg, error.lineno)
    except ValueError as error:  # null bytes
        return Misfit(str(error), None)
    except (RecursionError, MemoryError):
        return Misfit("it is nested too deeply", None)
    if same:
        return None
    return Misfit("it runs on into the given text below it: a string, a bracket or a block is left open", stray)


def _origin(number: int, region: Region | None) -> Origin:
    return Origin(None, number) if region is None else Origin(region.id, number - region.start - 1)


def _parse(source: str) -> tuple[ast.Module, str]:
    """The tree and what was parsed: the source, else the source with IPython's magics blanked out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(source), source
        except SyntaxError:
            masked = "\n".join(_MAGIC.sub(r"\g<indent>pass", line) for line in source.split("\n"))
            if masked == source:
                raise
            return ast.parse(masked), masked


def _template_skeleton(template: str) -> str:
    tree = ast.parse(template)
    _skeleton(tree, regions(template))
    return ast.dump(tree)


def _skeleton(tree: ast.Module, todos: Sequence[Region]) -> int | None:
    """Remove all statements that lie within a TODO; returns the first line of one that begins in it and ends outside."""
    stray = None
    nodes: list[ast.AST] = [tree]
    while nodes:
        node = nodes.pop()
        for name, value in ast.iter_fields(node):
            if not isinstance(value, list):
                continue
            kept = [child for child in value if not (isinstance(child, ast.stmt) and _within(child, todos))]
            setattr(node, name, kept)
            for child in kept:
                if isinstance(child, ast.stmt) and any(_first(child) in _lines(todo) for todo in todos):
                    stray = _first(child)
                if isinstance(child, ast.AST):
                    nodes.append(child)
    return stray


def _first(statement: ast.stmt) -> int:
    """The statement's first line, with its decorators."""
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(decorator.lineno for decorator in decorators)])


def _within(statement: ast.stmt, todos: Sequence[Region]) -> bool:
    return any(_first(statement) in _lines(todo) and (statement.end_lineno or 0) in _lines(todo) for todo in todos)


def _lines(todo: Region) -> range:
    """Lines of the body, counted from 1."""
    return range(todo.start + 2, todo.end + 1)
