"""pt-archiver: moves rows from one table to another in small transactions of two sessions."""

import os
import re
import sys

sys.path.insert(0, os.environ["tools"])
from common import connect, dsn, nap, percona, rows, say, tool, value

db = connect()


def archive(*options):
    code, text = tool("pt-archiver", "--no-check-charset", "--limit=100", *options)
    # the statistics: counts are the same, times are not
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", "TIME", text)
    text = re.sub(r"^(\w+) +(\d+) +[-\d.]+ +[-\d.]+$", r"\1 \2", text, flags=re.M)
    text = re.sub(r"^other .*\n", "", text, flags=re.M)
    text = "\n".join(sorted(line for line in text.splitlines() if not re.match(r"TIME +\d+ +\d+", line)))
    say(re.sub(r"(,P|,u|,h)=[^, \n]*", "", text).replace(os.environ["SCHEMA"], "SCHEMA"))
    say("exit code", code)


def contents():
    for table in ("old_rows", "kept_rows"):
        say(table, rows(db, f"SELECT COUNT(*), MIN(id), MAX(id), SUM(CRC32(name)) FROM {table}"))


for table in ("old_rows", "kept_rows"):
    rows(db, f"CREATE TABLE {table} (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(40), n INT, KEY n (n))")
rows(db, "INSERT INTO old_rows (name, n) SELECT CONCAT('räw ', seq), seq % 100 FROM seq_1_to_6000")

say("== moved row by row")
nap("steal")
archive("--source", dsn("old_rows"), "--dest", dsn("kept_rows"), "--where", "n < 30", "--txn-size=100", "--statistics",
        "--sleep-coef=0.1")
contents()

say("== moved in bulk, a transaction for each bulk")
archive("--source", dsn("old_rows"), "--dest", dsn("kept_rows"), "--where", "n < 60", "--commit-each", "--bulk-insert",
        "--bulk-delete", "--statistics", "--retries=3")
contents()

say("== purged, with a lock for share")
archive("--source", dsn("old_rows"), "--purge", "--where", "n < 70", "--txn-size=10", "--share-lock", "--statistics",
        "--primary-key-only")
contents()

say("== only counted; into a file; what fails")
archive("--source", dsn("old_rows"), "--purge", "--where", "n < 80", "--dry-run")
archive("--source", dsn("old_rows"), "--file", "archived.txt", "--where", "n < 80", "--commit-each", "--statistics")
with open("archived.txt", encoding="utf-8") as file:
    say(len(file.readlines()))
archive("--source", dsn("missing"), "--purge", "--where", "n < 80")
contents()
say("in use by", rows(db, "SELECT IS_FREE_LOCK('x'), CONNECTION_ID() > 0"))

say("== other tools of the package")
for command in (
    ["pt-duplicate-key-checker", *percona(), "--databases", os.environ["SCHEMA"]],
    ["pt-find", *percona(), "--rows", "+1", "--dblike", os.environ["SCHEMA"], "--printf", "%N"],
):
    code, text = tool(*command)
    say(text.replace(os.environ["SCHEMA"], "SCHEMA"), "exit code", code)
