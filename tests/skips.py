"""A plugin, `-p tests.skips`: a skip is a failure unless it is listed here (`.ci/as-user` runs the suites so)."""

from __future__ import annotations

import re

import pytest

#: Regular expressions that the whole reason has to match, and why it is right that nothing is tried there.
ALLOWED = {
    r"make interop runs these against Capgo's own command line": "a target of its own, which needs node",
    r"\w+ is not installed here; make gui installs it": "a target of its own, which .ci/run lets skip nothing",
    r"cells run in forks here; .*": "for systems without fork",
    r"it works here": "shows what systems other than Linux do",
    r"only root may mount": "a data directory that is mounted read-only; the run as root tries it",
}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config) -> None:
    del exitstatus, config
    for reason in sorted(_unlisted(terminalreporter)):
        terminalreporter.write_line(f"SKIPPED and not listed in tests/skips.py: {reason}", red=True)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if session.exitstatus == pytest.ExitCode.OK and reporter is not None and _unlisted(reporter):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _unlisted(reporter: pytest.TerminalReporter) -> set[str]:
    reasons = {report.longrepr[2].removeprefix("Skipped: ") for report in reporter.getreports("skipped")}
    return {reason for reason in reasons if not any(re.fullmatch(allowed, reason) for allowed in ALLOWED)}
