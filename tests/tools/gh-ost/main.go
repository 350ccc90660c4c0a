// gh-ost's cut-over, as in its applier.go and migrator.go: the sessions, statements and checks of
// AtomicCutOverMagicLock, AtomicCutoverRename, ExpectProcess, ExpectUsedLock and AcquireMigrationLock.
// gh-ost itself is in no package of Debian, and reads the binary log, which this test does not need.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

const (
	hint     = "ghost-cut-over-sentry"
	patience = 10 * time.Second
	// seconds; gh-ost's --cut-over-lock-timeout-seconds is 3
	lockTimeout = 20
)

var schema = os.Getenv("SCHEMA")

func fail(what string, err error) {
	fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
	os.Exit(1)
}

func must(what string, err error) {
	if err != nil {
		fail(what, err)
	}
}

// told returns an error without what differs between runs.
func told(err error) string {
	var server *mysql.MySQLError
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &server):
		return fmt.Sprintf("%d %s", server.Number, strings.ReplaceAll(server.Message, schema, "SCHEMA"))
	default:
		return err.Error()
	}
}

func nap(kinds ...string) {
	command := exec.Command(os.Getenv("NAP"), kinds...)
	command.Stderr = os.Stderr
	must("nap", command.Run())
}

// open returns a pool as gh-ost opens it.
func open(sessions int) *sql.DB {
	uri := fmt.Sprintf("%s:%s@tcp(%s:%s)/%s?timeout=10s&interpolateParams=true&autocommit=true&charset=utf8mb4,utf8,latin1&tx_isolation=%%22REPEATABLE-READ%%22",
		os.Getenv("USER_NAME"), os.Getenv("PASSWORD"), os.Getenv("HOST"), os.Getenv("PORT"), schema)
	db, err := sql.Open("mysql", uri)
	must("open", err)
	db.SetMaxOpenConns(sessions)
	db.SetMaxIdleConns(sessions)
	return db
}

// applier holds what one migration of a table needs.
type applier struct {
	db    *sql.DB
	table string
}

func (a *applier) old() string   { return "_" + a.table + "_del" }
func (a *applier) ghost() string { return "_" + a.table + "_gho" }

func (a *applier) exec(query string) error {
	_, err := a.db.Exec(query)
	return err
}

func (a *applier) createSentry() error {
	return a.exec(fmt.Sprintf("create /* gh-ost */ table `%s`.`%s` ( id int auto_increment primary key ) engine=InnoDB comment='%s'",
		schema, a.old(), hint))
}

func (a *applier) dropSentry() {
	var name, comment string
	err := a.db.QueryRow("select table_name, table_comment from information_schema.tables where table_schema = ? and table_name = ?",
		schema, a.old()).Scan(&name, &comment)
	if err == nil && comment == hint {
		must("drop the sentry", a.exec(fmt.Sprintf("drop /* gh-ost */ table if exists `%s`.`%s`", schema, a.old())))
	}
}

// magicLock locks the original and the sentry table until it is told to go on.
func (a *applier) magicLock(ids chan<- int64, locked chan<- error, proceed <-chan bool, unlocked chan<- error) {
	tx, err := a.db.Begin()
	must("begin", err)
	defer tx.Rollback()
	var id int64
	must("connection_id", tx.QueryRow("select /* gh-ost */ connection_id()").Scan(&id))
	ids <- id

	got := 0
	must("get_lock", tx.QueryRow("select /* gh-ost */ get_lock(?, 0)", lockName(id)).Scan(&got))
	if got != 1 {
		fail("get_lock", fmt.Errorf("it is %d", got))
	}
	_, err = tx.Exec(fmt.Sprintf("set /* gh-ost */ session lock_wait_timeout:=%d", lockTimeout*2))
	must("lock_wait_timeout", err)
	must("sentry", a.createSentry())
	_, err = tx.Exec(fmt.Sprintf("set /* gh-ost */ session wait_timeout:=%d", lockTimeout*3))
	must("wait_timeout", err)
	_, err = tx.Exec(fmt.Sprintf("lock /* gh-ost */ tables `%s`.`%s` write, `%s`.`%s` write", schema, a.table, schema, a.old()))
	locked <- err
	if err != nil {
		return
	}
	<-proceed
	_, err = tx.Exec(fmt.Sprintf("drop /* gh-ost */ table if exists `%s`.`%s`", schema, a.old()))
	must("drop of the sentry", err)
	_, err = tx.Exec("unlock /* gh-ost */ tables")
	unlocked <- err
}

// rename swaps both tables; it waits for the lock.
func (a *applier) rename(ids chan<- int64, renamed chan<- error) {
	tx, err := a.db.Begin()
	must("begin", err)
	defer tx.Rollback()
	var id int64
	must("connection_id", tx.QueryRow("select /* gh-ost */ connection_id()").Scan(&id))
	ids <- id
	_, err = tx.Exec(fmt.Sprintf("set /* gh-ost */ session lock_wait_timeout:=%d", lockTimeout))
	must("lock_wait_timeout", err)
	_, err = tx.Exec(fmt.Sprintf("rename /* gh-ost */ table `%s`.`%s` to `%s`.`%s`, `%s`.`%s` to `%s`.`%s`",
		schema, a.table, schema, a.old(), schema, a.ghost(), schema, a.table))
	renamed <- err
}

func lockName(id int64) string { return fmt.Sprintf("gh-ost.%d.lock", id) }

// expectUsedLock checks that the session still holds its lock.
func (a *applier) expectUsedLock(id int64) error {
	var result int64
	if err := a.db.QueryRow("select /* gh-ost */ is_used_lock(?)", lockName(id)).Scan(&result); err != nil || result != id {
		return fmt.Errorf("session lock %s expected to be found but wasn't (%d, %v)", lockName(id), result, err)
	}
	return nil
}

// expectProcess checks that the list of processes shows a session that waits so.
func (a *applier) expectProcess(id int64, state, info string) error {
	rows, err := a.db.Query(`
		select /* gh-ost */ id
		from
			information_schema.processlist
		where
			id != connection_id()
			and ? in (0, id)
			and state like concat('%', ?, '%')
			and info like concat('%', ?, '%')`, id, state, info)
	if err != nil {
		return err
	}
	defer rows.Close()
	found := false
	for rows.Next() {
		found = true
	}
	if !found {
		return fmt.Errorf("cannot find process. Hints: %s, %s", state, info)
	}
	return rows.Err()
}

// retry repeats a check as gh-ost does, which gives up after 60 attempts.
func retry(check func() error) error {
	end := time.Now().Add(patience)
	for {
		err := check()
		if err == nil || time.Now().After(end) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// cutOver is gh-ost's atomicCutOver; what it checks is said.
func (a *applier) cutOver(meanwhile func(), keep bool) {
	lockIds, renameIds := make(chan int64, 2), make(chan int64, 2)
	locked, unlocked, renamed := make(chan error, 2), make(chan error, 2), make(chan error, 2)
	proceed := make(chan bool, 4)
	go a.magicLock(lockIds, locked, proceed, unlocked)
	if err := <-locked; err != nil {
		fmt.Println("not locked:", told(err))
		return
	}
	lockID := <-lockIds
	meanwhile()
	go a.rename(renameIds, renamed)
	renameID := <-renameIds
	if lockID == renameID {
		fail("connection_id", fmt.Errorf("two sessions have the id %d", lockID))
	}
	if err := retry(func() error { return a.expectProcess(renameID, "metadata lock", "rename") }); err != nil {
		fmt.Println("abort:", err)
	} else {
		fmt.Println("found the RENAME that waits")
	}
	if err := a.expectUsedLock(lockID); err != nil {
		fmt.Println("abort:", strings.ReplaceAll(err.Error(), fmt.Sprint(lockID), "ID"))
	} else {
		fmt.Println("the session that locks still holds its own lock")
	}
	if !keep {
		// what gh-ost does when it gives up
		_, err := a.db.Exec(fmt.Sprintf("KILL QUERY %d", renameID))
		fmt.Println("kill:", told(err))
		fmt.Println("renamed:", told(<-renamed))
	}
	proceed <- true
	fmt.Println("unlocked:", told(<-unlocked))
	if keep {
		fmt.Println("renamed:", told(<-renamed))
	}
	a.dropSentry()
}

// migrationLock is gh-ost's lock against a second gh-ost; it names the holder, else.
func migrationLock(name string, mine int64) (*sql.Conn, string) {
	conn, err := open(1).Conn(context.Background())
	must("connection", err)
	var got sql.NullInt64
	must("get_lock", conn.QueryRowContext(context.Background(), "select /* gh-ost */ get_lock(?, 0)", name).Scan(&got))
	if got.Int64 == 1 {
		return conn, "taken"
	}
	var holder sql.NullInt64
	must("is_used_lock", conn.QueryRowContext(context.Background(), "select /* gh-ost */ is_used_lock(?)", name).Scan(&holder))
	conn.Close()
	return nil, fmt.Sprintf("held, by the session that took it: %t", holder.Int64 == mine)
}

func (a *applier) tables() {
	a.db.Exec("insert into changed (n) values (1)")
	for _, table := range []string{a.table, a.old(), a.ghost()} {
		var columns, rows int
		a.db.QueryRow("select count(*) from information_schema.columns where table_schema = ? and table_name = ?", schema, table).Scan(&columns)
		err := a.db.QueryRow("select count(*) from `" + table + "`").Scan(&rows)
		fmt.Printf("%s: %d columns, %d rows, %s\n", table, columns, rows, told(err))
	}
}

// fresh makes the table to be changed, and its changed copy.
func (a *applier) fresh() {
	for _, query := range []string{
		fmt.Sprintf("drop table if exists `%s`, `%s`, `%s`", a.table, a.old(), a.ghost()),
		fmt.Sprintf("create table `%s` (id int auto_increment primary key, n int)", a.table),
		fmt.Sprintf("insert into `%s` (n) values (1), (2), (3)", a.table),
		fmt.Sprintf("create /* gh-ost */ table `%s` like `%s`", a.ghost(), a.table),
		fmt.Sprintf("alter /* gh-ost */ table `%s` add column more varchar(20)", a.ghost()),
	} {
		must(query, a.exec(query))
	}
	tx, err := a.db.Begin()
	must("begin", err)
	for _, query := range []string{
		"SET /* gh-ost */ SESSION time_zone = '+00:00', sql_mode = CONCAT(@@session.sql_mode, ',NO_AUTO_VALUE_ON_ZERO,STRICT_ALL_TABLES')",
		fmt.Sprintf("insert /* gh-ost */ ignore into `%s` (id, n) (select id, n from `%s` force index (`PRIMARY`) where id > 0 lock in share mode)", a.ghost(), a.table),
	} {
		_, err := tx.Exec(query)
		must(query, err)
	}
	must("commit", tx.Commit())
}

func main() {
	a := &applier{open(3), "changed"}
	name := "gh-ost::" + schema + ".changed"
	a.fresh()
	for _, kinds := range [][]string{{}, {"steal"}, {"suspend"}, {"steal", "suspend", "steal"}} {
		fmt.Println("== cut-over", len(kinds))
		a.fresh()
		nap(kinds...)
		a.cutOver(func() { nap(kinds...) }, true)
		a.tables()
	}
	fmt.Println("== another gh-ost, after a park")
	a.fresh()
	a.db.Close()
	nap("park")
	a.db = open(3)
	a.cutOver(func() {}, true)
	a.tables()

	fmt.Println("== given up")
	a.fresh()
	a.cutOver(func() { nap("steal") }, false)
	a.tables()

	fmt.Println("== the sentry table is in the way")
	must("sentry", a.createSentry())
	fmt.Println(told(a.createSentry()))
	a.dropSentry()

	fmt.Println("== one gh-ost for a table")
	holder, taken := migrationLock(name, 0)
	fmt.Println(taken)
	var mine int64
	must("connection_id", holder.QueryRowContext(context.Background(), "select /* gh-ost */ connection_id()").Scan(&mine))
	for _, kinds := range [][]string{{}, {"steal"}, {"suspend"}, {"steal", "suspend"}} {
		nap(kinds...)
		must("ping", holder.PingContext(context.Background()))
		_, taken := migrationLock(name, mine)
		fmt.Println(taken)
	}
	var released int
	must("release", holder.QueryRowContext(context.Background(), "select /* gh-ost */ release_lock(?)", name).Scan(&released))
	fmt.Println("released:", released)
	holder.Close()
	_, taken = migrationLock(name, mine)
	fmt.Println(taken)
}
