"""Shared by the Python apps: connection settings, worker threads, naps, the idle phase."""

import os
import queue
import subprocess
import sys
import threading
import time

HOST = os.environ["HOST"]
PORT = int(os.environ["PORT"])
USER = os.environ["USER_NAME"]
PASSWORD = os.environ["PASSWORD"]
SCHEMA = os.environ["SCHEMA"]
WORKERS = int(os.environ["WORKERS"])
#: Duration of a round of work and of the idle phase, in seconds.
ROUND = float(os.environ["ROUND"])
IDLE = float(os.environ["IDLE"])

ACCOUNTS = 200
OPENING = 1000


def equal(what, got, expected):
    """Raises an error unless both are equal."""
    if got != expected:
        raise AssertionError(f"{what}: expected {expected!r}, got {got!r}")


def nap(*arguments):
    """Runs the nap program with these arguments; returns whether it succeeded."""
    return subprocess.run([os.environ["NAP"], *arguments]).returncode == 0


def choose(worker, turn):
    """Two different accounts, the lower first: locking in this order avoids deadlocks."""
    first = (worker * 7 + turn) % ACCOUNTS
    second = (first + 1 + turn % (ACCOUNTS - 1)) % ACCOUNTS
    return min(first, second) + 1, max(first, second) + 1


class Crew:
    """Threads that live as long as the app, since frameworks keep one connection per thread."""

    def __init__(self):
        self._outbox = queue.Queue()
        self._inboxes = [queue.Queue() for _ in range(WORKERS)]
        self._threads = []
        #: Turns done by each worker.
        self.turns = [0] * WORKERS
        for worker, inbox in enumerate(self._inboxes):
            self._threads.append(threading.Thread(target=self._live, args=(worker, inbox), daemon=True))
            self._threads[-1].start()

    def _live(self, worker, inbox):
        while job := inbox.get():
            try:
                self._outbox.put((job(worker), None))
            except BaseException as error:
                self._outbox.put((None, error))

    def start(self, job):
        for inbox in self._inboxes:
            inbox.put(job)

    def finish(self):
        errors = [error for _, error in (self._outbox.get() for _ in self._inboxes) if error]
        if errors:
            print(f"{len(errors)} of {WORKERS} workers failed", file=sys.stderr)
            raise errors[0]

    def run(self, job):
        """Runs a job in every worker; raises the first error."""
        self.start(job)
        self.finish()

    def leave(self):
        """Ends the workers."""
        for inbox in self._inboxes:
            inbox.put(None)
        for thread in self._threads:
            thread.join()

    def work(self, turn):
        """Runs rounds of turn(worker, number), with a nap during and after each."""

        def until(end):
            def job(worker):
                while time.monotonic() < end:
                    turn(worker, self.turns[worker])
                    self.turns[worker] += 1

            return job

        for kind in ("suspend", "park", "kill"):
            self.start(until(time.monotonic() + ROUND))
            time.sleep(ROUND / 2)
            slept = nap("jolt")
            self.finish()
            equal("nap while working", slept, True)
            equal(f"nap {kind}", nap(kind), True)
        # All workers wake the database at once.
        self.run(until(time.monotonic() + ROUND / 2))

    def idle(self, **habits):
        """Runs the jobs of an idle app on a parked database; returns those that woke it."""
        woken = []
        for what, job in habits.items():
            equal("nap park", nap("park"), True)
            # The first job is what the pool does by itself: repeated during the idle phase.
            end = time.monotonic() + (IDLE if what == next(iter(habits)) else 0)
            self.run(job)
            while time.monotonic() < end:
                time.sleep(1)
                self.run(job)
            if not nap("still", what):
                woken.append(what)
        return woken
