"""Sessions beside those of a suite: they need connections to the server, so the suite's sessions change theirs.

jostle.py SECONDS: until then or until it is ended. Each session checks that its state is its own; an error ends the
program with exit code 1.
"""

import os
import random
import sys
import threading
import time
import traceback

import pymysql

SESSIONS = 6


def jostle(number, end):
    """One session: a user variable, a setting and an id that must stay; short transactions that pin."""
    connection = pymysql.connect(
        host=os.environ["HOST"], port=int(os.environ["PORT"]), user=os.environ["USER_NAME"],
        password=os.environ["PASSWORD"], autocommit=True,
    )
    dice, turn = random.Random(number), 0
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION group_concat_max_len = %s", (4096 + number,))
        while time.monotonic() < end:
            turn += 1
            cursor.execute("SET @jostle = %s", (f"{number}-{turn}",))
            time.sleep(dice.random() / 10)
            cursor.execute("SELECT @jostle, @@group_concat_max_len, CONNECTION_ID()")
            got, wanted = cursor.fetchone(), (f"{number}-{turn}", 4096 + number, connection.thread_id())
            if got != wanted:
                raise AssertionError(f"expected {wanted}, got {got}")
            cursor.execute("BEGIN")
            cursor.execute("SELECT COUNT(*) FROM mysql.help_category")
            time.sleep(dice.random() / 100)
            cursor.execute("COMMIT")


def main():
    end = time.monotonic() + float(sys.argv[1])

    def run(number):
        try:
            jostle(number, end)
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(SESSIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
