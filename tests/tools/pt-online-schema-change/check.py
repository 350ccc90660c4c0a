"""pt-online-schema-change: a table is changed while others write to it."""

import os
import re
import sys
import threading

sys.path.insert(0, os.environ["tools"])
from common import connect, dsn, nap, rows, say, tool, value

WRITERS = 3
FIRST = 100_000


def told(text):
    """What the tool said, without times and figures that differ from run to run."""
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d ", "", text)
    text = re.sub(r"Copying `\w+`.`\w+`:.*\n", "", text)
    text = re.sub(r"Copying approximately \d+ rows", "Copying rows", text)
    text = re.sub(r"if host \S+ has", "if host has", text)
    return text.rstrip()


class Writer(threading.Thread):
    """Writes to the table until it is told to stop; counts what it wrote."""

    def __init__(self, number):
        super().__init__(daemon=True)
        self.base = FIRST * (number + 1)
        self.turns = 0
        self.errors = []
        self.stop = threading.Event()

    def run(self):
        session = connect(autocommit=False)
        while not self.stop.is_set():
            name = f"w{self.base + self.turns}"
            session.begin()
            got = rows(session, "INSERT INTO items (name, n) VALUES (%s, %s)", (name, self.turns))
            if not got:
                new = value(session, "SELECT LAST_INSERT_ID()")
                if value(session, "SELECT name FROM items WHERE id = %s", (new,)) != name:
                    self.errors.append(f"LAST_INSERT_ID() is not that of {name}")
                got = rows(session, "UPDATE items SET n = n + 1 WHERE id = %s", (self.turns % 5000 + 1,))
            # a deadlock with the copying is told to the writer on a bare server too
            if got and got[0] in (1213, 1205):
                session.rollback()
                continue
            if got:
                self.errors.append(got)
                return
            if self.turns % 3 == 2:
                session.rollback()
            else:
                session.commit()
            self.turns += 1


def change(alter, *options):
    code, text = tool(
        "pt-online-schema-change", "--execute", "--recursion-method=none", "--chunk-size=250", "--sleep=0.02",
        "--no-check-replication-filters", f"--alter={alter}", *options, dsn("items"),
    )
    say(told(text).replace(os.environ["SCHEMA"], "SCHEMA"))
    say("exit code", code)


db = connect()
rows(db, "CREATE TABLE items (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(40) NOT NULL, n INT, KEY n (n))")
rows(db, "INSERT INTO items (name, n) SELECT CONCAT('item ', seq), seq FROM seq_1_to_6000")
nap("steal")

writers = [Writer(number) for number in range(WRITERS)]
for writer in writers:
    writer.start()
change("ADD COLUMN more VARCHAR(20) NOT NULL DEFAULT 'more', ADD KEY name (name), MODIFY n BIGINT")
nap("steal")
change("DROP COLUMN more, CONVERT TO CHARACTER SET utf8mb3")
for writer in writers:
    writer.stop.set()
    writer.join()
    say("errors of a writer:", writer.errors)

say(re.sub(r"AUTO_INCREMENT=\d+ ", "", rows(db, "SHOW CREATE TABLE items")[0][1]))
written = sum(writer.turns - writer.turns // 3 for writer in writers)
say("rows missing:", 6000 + written - value(db, "SELECT COUNT(*) FROM items"))
updates = value(db, "SELECT SUM(n) FROM items WHERE name LIKE 'item %'") - 6000 * 6001 // 2
say("updates missing:", written - updates)
say(rows(db, "SHOW TRIGGERS"), rows(db, "SHOW TABLES"))

say("== what fails")
nap("park")
change("ADD COLUMN id INT")
change("ADD UNIQUE KEY twice (n)")
say(rows(db, "SHOW TRIGGERS"), rows(db, "SHOW TABLES"))
