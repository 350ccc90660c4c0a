"""Adminer, which PHP's own web server serves: pages of a schema, statements, changed rows, dumps, kills."""

import html
import http.cookiejar
import os
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request

sys.path.insert(0, os.environ["tools"])
from common import HOST, PASSWORD, PORT, SCHEMA, USER, Later, connect, nap, rows, say, until, value

ADMINER = "/usr/share/adminer/adminer"


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def told(text):
    """The visible text of a page, without what differs between runs."""
    text = re.sub(r"(?s)<script.*?</script>|<style.*?</style>|<head>.*?</head>|<!--.*?-->", "", text)
    text = re.sub(r"</?(td|th|span|a|b|i|code|label|option)\b[^>]*>", " ", text)
    text = html.unescape(re.sub(r"<[^>]*>", "\n", text))
    # schemas of other tools are listed too
    text = re.sub(r"\btool_\w+ ?", "", re.sub(rf"\b{SCHEMA}\b", "SCHEMA", text))
    text = re.sub(rf"\b({re.escape(USER)}|{os.environ['ACCOUNT']})\b", "USER", text).replace(str(PORT), "PORT")
    text = re.sub(r"\(\d+\.\d+ s\)|\d+\.\d+ s", "(TIME)", text)
    text = re.sub(r"(\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d", "TIME", text)
    lines = (" ".join(line.split()) for line in text.splitlines())
    return "\n".join(line for line in lines if line and "Deutsch" not in line)


class Browser:
    """A browser that is logged in."""

    def __init__(self, base):
        self.base = base
        self.jar = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.jar))
        self.where = {"server": f"{HOST}:{PORT}", "username": USER}

    def raw(self, form=None, **page):
        address = self.base + "?" + urllib.parse.urlencode({**self.where, **page})
        data = urllib.parse.urlencode(form).encode() if form else None
        try:
            with self.opener.open(address, data, timeout=60) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            return f"HTTP {error.code} " + error.read().decode()

    def login(self, password):
        return self.raw({"auth[driver]": "server", "auth[server]": f"{HOST}:{PORT}", "auth[username]": USER,
                         "auth[password]": password, "auth[db]": ""})

    def page(self, **page):
        return told(self.raw(db=SCHEMA, **page))

    def post(self, form, **page):
        """Sends a form, with the token of the page that has it."""
        token = re.search(r"name=['\"]token['\"] value=['\"]([\d:]+)", self.raw(db=SCHEMA, **page))
        if not token:
            raise SystemExit(f"the page {page} has no token")
        return told(self.raw({**form, "token": token[1]}, db=SCHEMA, **page))


def visit(browser):
    say("== pages")
    for page in ({}, {"table": "t"}, {"select": "t"}, {"view": "v"}, {"indexes": "t"}, {"foreign": "u"},
                 {"routine": "", "procedure": "p"}, {"create": "t"}, {"edit": "t", "where[id]": "1"}):
        for kind in ("steal", "park"):
            nap(kind)
            text = browser.page(**page)
            say(page, len(text.splitlines()) > 3, "Invalid" in text or "Unknown" in text)
            # the page to change a table lists all collations
            if kind == "park" and "create" not in page:
                say(text)


def statements(browser):
    say("== statements")
    text = browser.post({"query": "SET @a = 5;\nSELECT @a, 'größe';\nINSERT INTO t (name) VALUES ('one'), (REPEAT('x', 50));\n"
                         "SHOW WARNINGS;\nSELECT LAST_INSERT_ID(), ROW_COUNT();\nSELECT * FROM missing;\nSELECT 2",
                         "limit": "", "error_stops": ""}, sql="")
    say(text)
    nap("suspend")
    say(browser.post({"query": "BEGIN; UPDATE t SET name = 'changed'; ROLLBACK; SELECT COUNT(*) FROM t WHERE name = 'changed'",
                      "limit": ""}, sql=""))
    nap("park")
    say(browser.post({"query": "CREATE TEMPORARY TABLE x SELECT seq FROM seq_1_to_3; SELECT SUM(seq) FROM x; DELIMITER //\n"
                      "CREATE PROCEDURE two() BEGIN SELECT 1; SELECT 2; END//\nDELIMITER ;\nCALL two()", "limit": ""}, sql=""))


def edits(browser):
    say("== rows")
    for kind in ("steal", "park"):
        browser.post({"fields[name]": f"edited {kind}", "field_funs[name]": "", "fields[n]": "7", "insert": "1"}, edit="t")
        nap(kind)
        say(rows(db, "SELECT name, n FROM t WHERE name LIKE 'edited%' ORDER BY id"))
    nap("steal")
    dump = browser.raw({"output": "text", "format": "sql", "db_style": "", "routines": "1", "events": "1", "triggers": "1",
                        "table_style": "DROP+CREATE", "data_style": "INSERT", "tables[]": "t", "data[]": "t",
                        "token": re.search(r"name=['\"]token['\"] value=['\"]([\d:]+)", browser.raw(db=SCHEMA, dump=""))[1]},
                       db=SCHEMA, dump="")
    dump = re.sub(r"(?m)^-- (Adminer|20).*", "", dump).replace(SCHEMA, "SCHEMA")
    # a server that was started again gives ids of failed statements again
    say(re.sub(r"\(\d+,\t'edited", "(N,\t'edited", re.sub(r"AUTO_INCREMENT=\d+ ", "", dump)))


def kills(browser):
    say("== the list of processes")
    session = connect()
    number = value(session, "SELECT CONNECTION_ID()")
    wait = Later(rows, session, "SELECT SLEEP(40) /* slow */")
    watcher = connect()
    until("the slow one", lambda: any(row[0] == number and "slow" in str(row[7]) for row in rows(watcher, "SHOW FULL PROCESSLIST")))
    page = browser.raw(processlist="")
    say("listed:", f'value="{number}"' in page or f"value='{number}'" in page, "slow" in told(page))
    token = re.search(r"name=['\"]token['\"] value=['\"]([\d:]+)", page)[1]
    say("killed:", "1 process" in told(browser.raw({"kill[]": str(number), "token": token}, processlist="")))
    until("its end", wait.done)
    got = wait.result()
    say("the statement:", got[0] if got[0] in (1317, 2013) else got)
    say("the session:", rows(session, "SELECT 1")[0])


def serve():
    port = free_port()
    server = subprocess.Popen(
        ["php", "-d", f"session.save_path={os.getcwd()}", "-d", "display_errors=stderr", "-d", "error_reporting=8191",
         "-S", f"127.0.0.1:{port}", "-t", ADMINER],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def listens():
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", port)) == 0

    until("PHP's server", listens)
    return server, f"http://127.0.0.1:{port}/index.php"


db = connect()
for statement in (
    "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(20) NOT NULL, n INT, KEY (name))",
    "CREATE TABLE u (id INT PRIMARY KEY, t INT, FOREIGN KEY (t) REFERENCES t (id))",
    "CREATE VIEW v AS SELECT name FROM t",
    "CREATE PROCEDURE p(a INT) SELECT a + 1",
    "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET NEW.n = COALESCE(NEW.n, 3)",
    "INSERT INTO t (name) VALUES ('größe'), ('zwei')",
):
    rows(db, statement)
php, address = serve()
try:
    user = Browser(address)
    say("== logins")
    say("Access denied" in told(user.login("wrong")), "Logout" in user.login(PASSWORD) or "logout" in user.raw())
    visit(user)
    statements(user)
    edits(user)
    kills(user)
finally:
    php.terminate()
    php.wait()
