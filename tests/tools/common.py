"""Shared by the tools' Python programs: sessions, interruptions, what is said."""

import os
import subprocess
import threading
import time

import pymysql
import pymysql.cursors

HOST = os.environ["HOST"]
PORT = int(os.environ["PORT"])
USER = os.environ["USER_NAME"]
PASSWORD = os.environ["PASSWORD"]
SCHEMA = os.environ["SCHEMA"]
TOOLS = os.environ["tools"]
#: How long something that must happen may take, in seconds.
PATIENCE = 60


def connect(**options):
    options.setdefault("database", SCHEMA)
    options.setdefault("autocommit", True)
    return pymysql.connect(
        host=HOST, port=PORT, user=USER, password=PASSWORD, charset="utf8mb4", ssl_disabled=True, **options
    )


def rows(session, statement, parameters=None):
    """The rows of a statement, as lists; an error as its number and message."""
    try:
        with session.cursor() as cursor:
            cursor.execute(statement, parameters)
            return [list(row) for row in cursor.fetchall()]
    except pymysql.MySQLError as error:
        return list(error.args)


def value(session, statement, parameters=None):
    """The first value of a statement; an error as its number and message."""
    got = rows(session, statement, parameters)
    return got[0][0] if got and isinstance(got[0], list) else got


def nap(*kinds):
    """Interrupts all sessions, in these ways."""
    subprocess.run([os.environ["NAP"], *kinds], check=True)


def say(*what):
    """Says something that must be the same on both sides."""
    print(*what, flush=True)


def until(what, condition):
    """Waits until the condition holds; returns its value, or ends the program."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if got := condition():
            return got
        time.sleep(0.02)
    raise SystemExit(f"waited for {PATIENCE} s in vain: {what}")


class Later:
    """A call in a thread of its own; result() waits for what it returned."""

    def __init__(self, call, *arguments):
        self._outcome = None
        self._thread = threading.Thread(target=self._run, args=(call, arguments), daemon=True)
        self._thread.start()

    def _run(self, call, arguments):
        try:
            self._outcome = call(*arguments)
        except BaseException as error:  # the caller of result() shall see it
            self._outcome = error

    def done(self):
        return not self._thread.is_alive()

    def result(self):
        self._thread.join(PATIENCE)
        if self._thread.is_alive():
            raise SystemExit(f"a call did not end within {PATIENCE} s")
        return self._outcome


def tool(*command, disturbed=True):
    """Runs a program, interrupted all the while; returns its exit code and what it said."""
    if disturbed:
        command = (os.environ["DISTURB"], *command)
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.returncode, done.stdout


def percona():
    """The options with which Percona's tools connect."""
    return ["--host", HOST, "--port", str(PORT), "--user", USER, "--password", PASSWORD]


def dsn(table):
    """A table, as Percona's tools name it."""
    return f"h={HOST},P={PORT},u={USER},p={PASSWORD},D={SCHEMA},t={table},A=utf8mb4"
