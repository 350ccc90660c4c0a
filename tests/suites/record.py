"""Records the results of tests, one line each: test, outcome, seconds."""

import os
import re


def kind_of(error):
    """What failed, without texts that differ between two runs: the types, and a server's error number."""
    names = []
    while error is not None and len(names) < 3:
        name = type(error).__name__
        number = error.args[0] if getattr(error, "args", None) else None
        names.append(f"{name} {number}" if isinstance(number, int) else name)
        error = getattr(error, "orig", None) or error.__cause__
    return " from ".join(names)


class Record:
    """The file of results. A line is written when its test ends, so that a suite that hangs leaves the others."""

    def __init__(self):
        self._file = open(os.environ["RESULTS"], "a", buffering=1, encoding="utf-8")

    def write(self, test, outcome, seconds):
        test = re.sub(r"\s+", " ", test)
        self._file.write(f"{test}\t{outcome}\t{seconds:.2f}\n")
