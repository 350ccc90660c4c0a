# mysql2, as Rails uses it: its preamble, prepared statements, savepoints, the lock of its migrations.
require "bigdecimal"
require "mysql2"
require "time"
$stdout.sync = true

def say(*what) = puts(what.map { |w| w.is_a?(String) ? w : w.inspect }.join(" "))

def nap(*kinds)
  system(ENV["NAP"], *kinds) or abort "nap #{kinds.join(' ')} failed"
end

def session(**more)
  Mysql2::Client.new(host: ENV["HOST"], port: ENV["PORT"].to_i, username: ENV["USER_NAME"],
                     password: ENV["PASSWORD"], database: ENV["SCHEMA"], encoding: "utf8mb4",
                     flags: Mysql2::Client::FOUND_ROWS, **more)
end

# What Rails sends after a login.
def rails(**more)
  client = session(**more)
  client.query("SET  @@SESSION.sql_mode = CONCAT(CONCAT(@@sql_mode, ',STRICT_ALL_TABLES'), ',NO_AUTO_VALUE_ON_ZERO'), " \
               "@@SESSION.sql_auto_is_null = 0, @@SESSION.wait_timeout = 2147483")
  client
end

def rows(client, text, *values)
  result = values.empty? ? client.query(text, as: :array) : client.prepare(text).execute(*values, as: :array)
  result&.to_a
rescue Mysql2::Error => e
  [e.class.name, e.error_number, e.sql_state, e.message]
end

db = rails
other = rails
id = db.thread_id
say "the login said the same connection id:", rows(db, "SELECT CONNECTION_ID()") == [[id]]
db.query("CREATE TABLE posts (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, title VARCHAR(50), votes INT, " \
         "at DATETIME(6), score DECIMAL(10,3), lock_version INT DEFAULT 0, KEY index_posts_on_title (title))")

say "== prepared statements"
insert = db.prepare("INSERT INTO `posts` (`title`, `votes`, `at`, `score`) VALUES (?, ?, ?, ?)")
select = db.prepare("SELECT `posts`.* FROM `posts` WHERE `posts`.`votes` >= ? ORDER BY id LIMIT ?")
["", "steal", "suspend", "park", "kill", "steal"].each_with_index do |kind, i|
  nap(kind) unless kind.empty?
  insert.execute("größe 🐭 #{i}", i, Time.utc(2024, 2, 29, 1, 2, 3 + i, 456_789r), BigDecimal("1.5") * i)
  nap("steal")
  say kind, insert.last_id, insert.affected_rows, db.last_id, rows(db, "SELECT LAST_INSERT_ID()")
  say select.execute(i - 1, 2, as: :array).to_a.map { |r| r.map { |v| v.is_a?(Time) ? v.utc.iso8601(6) : v.is_a?(BigDecimal) ? v.to_s : v } }
end

say "== transactions with savepoints"
[%w[ROLLBACK steal], %w[COMMIT suspend], %w[COMMIT steal]].each do |last, kind|
  db.query("BEGIN")
  db.query("UPDATE posts SET votes = votes + 10 WHERE id = 1")
  nap(kind)
  db.query("SAVEPOINT active_record_1")
  db.query("DELETE FROM posts WHERE id > 1")
  nap(kind)
  db.query("ROLLBACK TO SAVEPOINT active_record_1")
  db.query("SAVEPOINT active_record_2")
  db.query("UPDATE posts SET title = 'renamed' WHERE id = 2")
  say db.affected_rows
  db.query("RELEASE SAVEPOINT active_record_2")
  say "others", rows(other, "SELECT votes, (SELECT COUNT(*) FROM posts) FROM posts WHERE id = 1")
  db.query(last)
  nap("park")
  say last, rows(other, "SELECT votes, (SELECT COUNT(*) FROM posts) FROM posts WHERE id = 1")
end

say "== optimistic locking: rows found, not rows changed"
["", "steal", "park"].each do |kind|
  nap(kind) unless kind.empty?
  db.query("UPDATE posts SET lock_version = 0 WHERE id < 4")
  say kind, db.affected_rows, db.info
  nap(kind) unless kind.empty?
  say rows(db, "SELECT ROW_COUNT()")
end

say "== errors and warnings"
say rows(db, "INSERT INTO posts (id) VALUES (1)")
nap("steal")
say rows(db, "SHOW ERRORS"), rows(db, "INSERT INTO posts (title) VALUES (?)", "x" * 60)
db.query("INSERT IGNORE INTO posts (title, votes) VALUES (REPEAT('x', 60), 'z')")
say db.warning_count
nap("steal", "park")
say rows(db, "SHOW WARNINGS")
say rows(db, "SELECT @@warning_count, @@error_count")
other.query("BEGIN")
other.query("SELECT * FROM posts WHERE id = 1 FOR UPDATE")
db.query("SET innodb_lock_wait_timeout = 1")
say rows(db, "UPDATE posts SET votes = 0 WHERE id = 1"), rows(db, "SELECT * FROM posts WHERE id = 1 FOR UPDATE NOWAIT")
other.query("ROLLBACK")

say "== a deadlock"
db.query("SET innodb_lock_wait_timeout = 50")
db.query("BEGIN")
other.query("BEGIN")
db.query("UPDATE posts SET votes = 1 WHERE id = 1")
other.query("UPDATE posts SET votes = votes + 1 WHERE id > 1")
nap("suspend")
wait = Thread.new { rows(db, "UPDATE posts SET votes = 2 WHERE id = 3") }
waits = "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"
third = session
sleep 0.02 until rows(third, waits) == [[1]]
say "who waits, who goes on:", [rows(other, "UPDATE posts SET votes = 3 WHERE id = 1"), wait.value].map { |r| r.nil? ? "ok" : r[1] }.sort_by(&:to_s)
[db, other].each { |c| c.query("ROLLBACK") }

say "== the lock of migrations"
name = "2053462845" # of Rails, from the name of the database
say rows(db, "SELECT GET_LOCK('#{name}', 0)")
["", "steal", "suspend"].each do |kind|
  nap(kind) unless kind.empty?
  say kind, rows(other, "SELECT GET_LOCK('#{name}', 0)"), rows(other, "SELECT IS_USED_LOCK('#{name}')") == [[id]]
end
say rows(db, "SELECT RELEASE_LOCK('#{name}')"), rows(other, "SELECT GET_LOCK('#{name}', 0)"), rows(other, "SELECT RELEASE_LOCK('#{name}')")

say "== the schema, as Rails reads it"
nap("park")
say rows(db, "SHOW FULL FIELDS FROM `posts`")
say rows(db, "SHOW KEYS FROM `posts`").map { |r| r.values_at(1, 2, 3, 4) }
say rows(db, "SELECT table_name FROM (SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = database()) _subquery WHERE _subquery.table_type = 'BASE TABLE'")
say rows(db, "SHOW VARIABLES LIKE 'wait_timeout'"), rows(db, "SELECT @@session.sql_mode, @@session.wait_timeout")

say "== several statements, streams, asynchronous queries"
multi = session(flags: Mysql2::Client::MULTI_STATEMENTS)
say multi.query("SELECT 1 AS a; INSERT INTO posts (title) VALUES ('multi'); SELECT ROW_COUNT(), LAST_INSERT_ID() > 1; SELECT 'x'", as: :array).to_a
nap("steal")
while multi.next_result
  result = multi.store_result
  say result ? result.to_a : multi.affected_rows
end
stream = session
count = sum = 0
stream.query("SELECT seq, REPEAT('y', seq % 500) FROM seq_1_to_20000", stream: true, cache_rows: false, as: :array).each do |n, text|
  count += 1
  sum += n * text.size
  nap("steal") if count == 10_000
end
say count, sum
db.query("SELECT SLEEP(0.2), 7", async: true, as: :array)
nap("steal")
say db.async_result.to_a

say "== resets, other users, pings"
say db.reset! || "no reset", rows(db, "SELECT @@wait_timeout, DATABASE()") if db.respond_to?(:reset!)
nap("park")
say db.ping, rows(db, "SELECT CONNECTION_ID()") == [[id]], db.server_info[:version][/MariaDB/]

say "== kills"
other.query("KILL QUERY #{id}")
say rows(db, "SELECT 1")
wait = Thread.new { rows(db, "SELECT SLEEP(30)") }
sleep 0.02 until rows(other, "SHOW PROCESSLIST").any? { |r| r[0] == id && r[7].to_s.include?("SLEEP") }
other.query("KILL QUERY #{id}")
say wait.value
nap("steal")
other.query("KILL #{id}")
say rows(db, "SELECT 1")[0], db.ping
