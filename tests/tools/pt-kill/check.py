"""pt-kill: finds sessions in SHOW FULL PROCESSLIST, and kills their statements or themselves."""

import os
import re
import sys

sys.path.insert(0, os.environ["tools"])
from common import Later, connect, nap, percona, rows, say, tool, until, value

watcher = connect()


def started():
    """A session, and its connection id."""
    session = connect()
    return session, value(session, "SELECT CONNECTION_ID()")


def listed(number, word):
    """Whether SHOW FULL PROCESSLIST says that the session runs a statement with that word."""
    return any(row[0] == number and word in (row[7] or "") for row in rows(watcher, "SHOW FULL PROCESSLIST"))


def kill(names, *options):
    """Runs pt-kill once and says which sessions it named."""
    code, text = tool(
        "pt-kill", *percona(), "--print", "--run-time=1s", "--interval=1s", "--victims=all", *options, disturbed=False
    )
    for number, name in names.items():
        text = re.sub(rf"KILL( QUERY)? {number}\b", rf"KILL\1 {name}", text)
    text = re.sub(r"# \d\d\d\d-\d\d-\d\dT[\d:]+", "#", text)
    # the id again, and its time
    text = re.sub(r"\((Query|Sleep|Execute) \d+ sec\)", r"(\1)", text)
    say("\n".join(sorted(set(text.splitlines()))))
    say("exit code", code)


def sleepers(word):
    """Two sessions that run a statement with that word, and one that runs another one."""
    names, waits = {}, []
    for name in (f"{word} one", f"{word} two", "bystander"):
        session, number = started()
        rows(session, "SET @mine = %s, lock_wait_timeout = 77", (name,))
        nap("steal")
        waits.append((name, session, Later(rows, session, f"SELECT SLEEP(50), '{name}', @mine")))
        names[number] = name
        until(f"{name} in the list", lambda: listed(number, name))
    return names, waits


say("== statements are killed, the sessions live on")
names, waits = sleepers("slow")
nap("steal")
kill(names, "--kill-query", "--match-info=SLEEP.*slow")
for name, session, wait in waits[:2]:
    say(name, wait.result(), rows(session, "SELECT @mine, @@lock_wait_timeout"))
say("the bystander runs:", not waits[2][2].done())
say("its id is listed:", listed(next(n for n in names if names[n] == "bystander"), "bystander"))

say("== sessions are killed")
kill(names, "--kill", "--match-info=bystander")
code, *_ = waits[2][2].result()
say("the bystander's statement:", code)
say("and its session:", rows(waits[2][1], "SELECT 1")[0])

say("== sessions that wait for a lock")
db = connect()
rows(db, "CREATE OR REPLACE TABLE t (i INT PRIMARY KEY)")
rows(db, "INSERT INTO t VALUES (1), (2)")
holder, holder_id = started()
rows(holder, "BEGIN")
rows(holder, "UPDATE t SET i = 10 WHERE i = 1")
waiting, waiting_id = started()
wait = Later(rows, waiting, "UPDATE /* waits */ t SET i = 11 WHERE i = 1")
until("the waiting one in the list", lambda: listed(waiting_id, "waits"))
kill({waiting_id: "waiting"}, "--kill-query", "--match-info=waits")
say(wait.result(), rows(waiting, "SELECT COUNT(*) FROM t"))
nap("steal", "suspend")
rows(waiting, "SET innodb_lock_wait_timeout = 40")
wait = Later(rows, waiting, "UPDATE /* waits */ t SET i = 11 WHERE i = 1")
until("the waiting one in the list", lambda: listed(waiting_id, "waits"))
say("== the one who holds it is killed, the other goes on")
say(rows(watcher, f"KILL {holder_id}"))
say(wait.result())
say("the holder:", rows(holder, "COMMIT")[0])
say(rows(db, "SELECT * FROM t"))

say("== idle sessions are killed, after naps too")
for kind in ("steal", "suspend", "park"):
    idle, idle_id = started()
    rows(idle, "SET @x = 1")
    nap(kind)
    kill({idle_id: "idle"}, "--kill", "--idle-time=0", "--match-command=Sleep", f"--match-db={os.environ['SCHEMA']}",
         "--ignore-user=nobody", "--filter=($event->{Id} == %d)" % idle_id)
    say("the idle one:", rows(idle, "SELECT 1")[0])
