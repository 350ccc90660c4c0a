# R's RMySQL: data frames to tables and back, rows in pieces, transactions, warnings, locks, kills.
suppressMessages(library(RMySQL))

say <- function(...) cat(..., "\n")
nap <- function(...) {
  if (system2(Sys.getenv("NAP"), c(...)) != 0) quit(status = 1)
}
session <- function() {
  db <- dbConnect(MySQL(),
    host = Sys.getenv("HOST"), port = as.integer(Sys.getenv("PORT")), user = Sys.getenv("USER_NAME"),
    password = Sys.getenv("PASSWORD"), dbname = Sys.getenv("SCHEMA"), client.flag = CLIENT_MULTI_STATEMENTS
  )
  dbExecute(db, "SET NAMES utf8mb4")
  db
}
# The rows of a query as text, or its error.
rows <- function(db, query) {
  tryCatch(
    {
      got <- suppressWarnings(dbGetQuery(db, query))
      paste(apply(as.matrix(got), 1, function(row) paste0("(", paste(trimws(row), collapse = ", "), ")")), collapse = " ")
    },
    error = function(e) gsub(Sys.getenv("SCHEMA"), "SCHEMA", conditionMessage(e))
  )
}

db <- session()
other <- session()
id <- rows(db, "SELECT CONNECTION_ID()")
say("the login said the same connection id:", id == paste0("(", dbGetInfo(db)$threadId, ")"))

say("== data frames")
frame <- data.frame(n = 1:3000, x = (1:3000) / 4, s = paste("größe", 1:3000), stringsAsFactors = FALSE)
for (kind in c("steal", "suspend", "park", "kill")) {
  nap(kind)
  say(kind, dbWriteTable(db, "frame", frame, overwrite = TRUE, row.names = FALSE))
  nap("steal")
  back <- dbReadTable(db, "frame")
  say(nrow(back), sum(back$n), sum(back$x), rows(other, "SELECT COUNT(*), SUM(x), MIN(s) FROM frame"))
  say(paste(dbListTables(db), collapse = " "), paste(dbListFields(db, "frame"), collapse = " "))
}

say("== rows in pieces")
other2 <- session()
result <- dbSendQuery(other2, "SELECT n, s FROM frame ORDER BY n")
count <- 0
while (!dbHasCompleted(result)) {
  piece <- dbFetch(result, n = 500)
  count <- count + nrow(piece)
  if (count == 1500) nap("steal")
}
say(count, dbClearResult(result))

say("== transactions")
dbExecute(db, "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, n TINYINT, s VARCHAR(10)) ENGINE=InnoDB")
for (kind in c("steal", "suspend")) {
  for (end in c("rollback", "commit")) {
    dbBegin(db)
    dbExecute(db, "INSERT INTO t (n) VALUES (1), (2)")
    nap(kind)
    say(rows(db, "SELECT LAST_INSERT_ID() > 0, COUNT(*) FROM t"), rows(other, "SELECT COUNT(*) FROM t"))
    if (end == "commit") dbCommit(db) else dbRollback(db)
    nap("park")
    say(kind, end, rows(other, "SELECT COUNT(*) FROM t"))
  }
}

say("== what a session has")
dbExecute(db, "SET @a = 'ä', time_zone = '+05:00', sql_mode = ''")
for (kind in c("steal", "suspend", "park", "kill")) {
  nap(kind)
  say(kind, rows(db, "SELECT @a, @@time_zone, @@sql_mode, DATABASE()"))
  say(dbExecute(db, "INSERT INTO t (n, s) VALUES (999, REPEAT('x', 20))"))
  nap("steal")
  say(rows(db, "SHOW WARNINGS"))
  say(rows(db, "SELECT * FROM missing"), dbGetException(db)$errorNum)
  say(rows(db, "SELECT CONNECTION_ID()") == id)
}

say("== locks and kills")
say(rows(db, "SELECT GET_LOCK('r', 0)"))
nap("steal", "suspend")
say(rows(other, "SELECT GET_LOCK('r', 0)"), rows(other, "SELECT IS_USED_LOCK('r')") == id, rows(db, "SELECT RELEASE_LOCK('r')"))
number <- gsub("[()]", "", id)
say(dbExecute(other, paste("KILL QUERY", number)), rows(db, "SELECT 1"))
nap("steal")
say(dbExecute(other, paste("KILL", number)))
say(rows(db, "SELECT 1") == "(1)", rows(other, "SELECT 2"))
for (one in list(other, other2)) invisible(dbDisconnect(one))
