"""Runs tests that are programs of their own, one process each: files.py NAME FOLDER PATTERN COMMAND…"""

import os
import pathlib
import re
import subprocess
import sys
import time

from record import Record


#: One file may take this long; some of the tests end only if the driver does.
LIMIT = min(20.0, float(os.environ["TEST_LIMIT"]))


def kind_of(output):
    """The class of the error that ended a program, and a server's code for it."""
    error = re.search(rb"^(?:Uncaught )?([A-Z]\w*Error|Error)\b", output, re.MULTILINE)
    code = re.search(rb"^ +code: '(ER_\w+)'", output, re.MULTILINE)
    return " ".join(found[1].decode() for found in (error, code) if found) or "no error"


def main():
    name_of_all, folder, pattern, *command = sys.argv[1:]
    record = Record()
    for file in sorted(pathlib.Path(folder).glob(pattern)):
        name = f"{name_of_all}/{file.relative_to(folder)}"
        print(f"--- {name}", flush=True)
        began = time.monotonic()
        try:
            ended = subprocess.run(
                [*command, str(file)], stdin=subprocess.DEVNULL, timeout=LIMIT,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )
            output, outcome = ended.stdout, "passed" if ended.returncode == 0 else "failed: " + kind_of(ended.stdout)
            if outcome == "passed" and output.startswith(b"skipping - "):
                outcome = "skipped"
        except subprocess.TimeoutExpired as error:
            output, outcome = error.stdout or b"", "failed: TimeoutError"
        if outcome != "passed":
            print(output.decode(errors="replace"), flush=True)
        print(outcome, flush=True)
        record.write(name, outcome, time.monotonic() - began)


if __name__ == "__main__":
    main()
