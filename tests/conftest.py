"""Fixtures every test may use."""

from __future__ import annotations

import functools
import http.server
import os
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.measured import remove_damaged

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data; tests that need it are skipped, with the reason, where it is absent."""
    folder = Path(os.environ.get("CLIMRECON_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "observations").is_dir():
        pytest.skip(f"no shared data: {folder} is absent (set CLIMRECON_SHARED_DATA)")
    return folder


@pytest.fixture(scope="session")
def cases(shared_data: Path) -> Path:
    """The folder of reported files; tests that need it are skipped likewise."""
    folder = shared_data.parent / "cases"
    if not folder.is_dir():
        pytest.skip(f"no shared data: {folder} is absent")
    return folder


class _Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """The address of a real server of ``tmp_path``."""
    handler = functools.partial(_Silent, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With several workers the longest folders begin; with one the real host comes last."""
    if getattr(config.option, "numprocesses", None) or os.environ.get("PYTEST_XDIST_WORKER"):
        first = ("jobs", "host", "unchanged", "training", "science")
        items.sort(key=lambda item: first.index(_folder(item)) if _folder(item) in first else len(first))
    else:
        items.sort(key=lambda item: item.get_closest_marker("host") is not None)


def _folder(item: pytest.Item) -> str:
    return item.path.relative_to(ROOT / "tests").parts[0]


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtestloop(session: pytest.Session):  # type: ignore[no-untyped-def]
    """Between the last test and the combination of what coverage measured, which encloses this."""
    result = yield
    if session.config.pluginmanager.hasplugin("_cov") and not os.environ.get("PYTEST_XDIST_WORKER"):
        for path in remove_damaged(ROOT):
            print(f"\nLeft out of the coverage: {path.name}, damaged when its process was killed.")
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
    """In continuous integration a skip for any other reason than absent data or GPU is a failure."""
    report = yield
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        reason = str(call.excinfo.value) if call.excinfo else ""
        if not any(word in reason for word in ("no shared data", "no GPU")):
            report.outcome = "failed"
            report.longrepr = f"skipped in CI: {reason}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the fault suite tried, over all its tests and workers."""
    counts: Counter[str] = Counter()
    for report in terminalreporter.getreports(""):
        for name, value in getattr(report, "user_properties", ()):
            if name == "faults" and report.when == "teardown":
                counts.update({kind: int(number) for kind, number in (pair.split("=") for pair in str(value).split())})
    if counts:
        terminalreporter.line("Fault suite: " + ", ".join(f"{number} {kind}" for kind, number in counts.items()))


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo archive's folder."""
    from climrecon.demo import write_demo

    folder = tmp_path_factory.mktemp("demo")
    write_demo(folder)
    return folder
