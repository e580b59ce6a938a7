"""The table of the hostile suite, printed after its tests where pytest is asked for words (`make hostile`)."""

from collections import Counter
from collections.abc import Callable, Iterator

import pytest

_LINE = "{:>6}  {:49}  {:15}  {:7}  {}"
_COLUMNS = ("number", "case", "backend", "seconds", "outcome")
_ROWS = pytest.StashKey[list[dict[str, str]]]()


@pytest.fixture
def record_rows(request: pytest.FixtureRequest) -> Callable[[dict[str, str]], None]:
    """Takes rows of the table that another run of the suite made."""
    return request.config.stash.setdefault(_ROWS, []).append


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    """Behind all that pytest has to say: one line a case and backend, then how many there are of each kind."""
    yield
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    rows = [*(_rows(reporter) if reporter else ()), *session.config.stash.get(_ROWS, [])]
    rows.sort(key=lambda row: int(row["number"]))
    if not rows or session.config.get_verbosity() < 0:
        return
    for row in ({name: name for name in _COLUMNS}, *rows):
        reporter.write_line(_LINE.format(*(row[name] for name in _COLUMNS)))
    counts = Counter(row["kind"] for row in rows)
    words = ", ".join(
        f"{counts[kind]} {kind}" for kind in ("held", "held in part", "held by other tests", "open", "NOT HELD") if counts[kind]
    )
    reporter.write_line(f"{len({row['number'] for row in rows})} cases, {len(rows)} rows: {words}")


def _rows(terminalreporter: pytest.TerminalReporter) -> Iterator[dict[str, str]]:
    for outcome in ("passed", "failed", "skipped", "error"):
        for report in terminalreporter.getreports(outcome):
            found = {name: str(value) for name, value in report.user_properties}
            if "number" in found and (report.when == "call" or report.failed):
                yield {**found, "kind": "NOT HELD" if report.failed else found["kind"]}
