"""Plugin for pytest: records the results of the tests."""

import os
import re

import pytest

from record import Record, kind_of


class Plugin:
    """Of the three parts of a test (set-up, call, tear-down), the first that did not pass is its outcome."""

    def __init__(self):
        self._record = Record()
        self._outcomes = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item, call):
        report = yield
        outcome, seconds = self._outcomes.get(item.nodeid, ("passed", 0.0))
        if outcome == "passed" and report.outcome == "skipped":
            outcome = "skipped"
        elif outcome == "passed" and report.outcome == "failed":
            outcome = "failed: " + (kind_of(call.excinfo.value) if call.excinfo else "passed unexpectedly")
        self._outcomes[item.nodeid] = (outcome, seconds + call.duration)
        if report.when == "teardown":
            outcome, seconds = self._outcomes.pop(item.nodeid)
            # SQLAlchemy's classes have the server's version in their names.
            name = re.sub(r"_(mysql|mariadb)\+pymysql_[0-9_]+(?=::)", "", item.nodeid)
            self._record.write(os.environ.get("PREFIX", "") + name, outcome, seconds)
        return report


def pytest_configure(config):
    config.pluginmanager.register(Plugin())
