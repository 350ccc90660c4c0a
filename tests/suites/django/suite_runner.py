"""Django's test runner, which records each result and ends a test that hangs."""

import os
import signal
import time
import unittest

from django.test.runner import DiscoverRunner

from record import Record, kind_of


def _too_long(_signal, _frame):
    raise TimeoutError("the test takes too long")


class Result(unittest.TextTestResult):
    """Of all that is reported about a test, the first that is no success is its outcome."""

    record = None

    def startTest(self, test):
        super().startTest(test)
        self._outcome = "passed"
        self._began = time.monotonic()
        signal.signal(signal.SIGALRM, _too_long)
        signal.alarm(int(os.environ["TEST_LIMIT"]))

    def stopTest(self, test):
        signal.alarm(0)
        super().stopTest(test)
        self._write(test.id(), self._outcome, time.monotonic() - self._began)

    def _write(self, name, outcome, seconds):
        if Result.record is None:
            Result.record = Record()
        Result.record.write(name, outcome, seconds)

    def _note(self, test, outcome):
        if not isinstance(test, unittest.TestCase):
            # the set-up of a class or module
            self._write(test.id(), outcome, 0.0)
        elif self._outcome == "passed":
            self._outcome = outcome

    def addError(self, test, err):
        super().addError(test, err)
        self._note(test, "failed: " + kind_of(err[1]))

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._note(test, "failed: " + kind_of(err[1]))

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._note(test, "failed: " + kind_of(err[1]))

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._note(test, "skipped")

    def addExpectedFailure(self, test, err):
        super().addExpectedFailure(test, err)
        self._note(test, "skipped")

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self._note(test, "failed: passed unexpectedly")


class Runner(DiscoverRunner):
    """Used through the setting TEST_RUNNER."""

    def get_resultclass(self):
        return Result
