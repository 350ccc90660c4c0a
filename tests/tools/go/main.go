// Go's driver (go-sql-driver/mysql) with database/sql: a pool whose sessions wander between goroutines.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/go-sql-driver/mysql"
)

func must(what string, err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
		os.Exit(1)
	}
}

// told returns an error without what differs between runs.
func told(err error) string {
	var server *mysql.MySQLError
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &server):
		return fmt.Sprintf("%d %s", server.Number, strings.ReplaceAll(server.Message, os.Getenv("SCHEMA"), "SCHEMA"))
	default:
		return err.Error()
	}
}

func nap(kinds ...string) {
	command := exec.Command(os.Getenv("NAP"), kinds...)
	command.Stderr = os.Stderr
	must("nap", command.Run())
}

func open(options string) *sql.DB {
	db, err := sql.Open("mysql", fmt.Sprintf("%s:%s@tcp(%s:%s)/%s?parseTime=true&%s",
		os.Getenv("USER_NAME"), os.Getenv("PASSWORD"), os.Getenv("HOST"), os.Getenv("PORT"), os.Getenv("SCHEMA"), options))
	must("open", err)
	return db
}

var background = context.Background()

func session(db *sql.DB) *sql.Conn {
	conn, err := db.Conn(background)
	must("connection", err)
	return conn
}

type querier interface {
	QueryContext(context.Context, string, ...interface{}) (*sql.Rows, error)
}

// rows returns all rows of a query as text.
func rows(of querier, query string, values ...interface{}) string {
	result, err := of.QueryContext(background, query, values...)
	if err != nil {
		return told(err)
	}
	defer result.Close()
	var all []string
	columns, _ := result.Columns()
	for result.Next() {
		cells, into := make([]sql.NullString, len(columns)), make([]interface{}, len(columns))
		for i := range cells {
			into[i] = &cells[i]
		}
		must("scan", result.Scan(into...))
		row := make([]string, len(cells))
		for i, cell := range cells {
			row[i] = "NULL"
			if cell.Valid {
				row[i] = cell.String
			}
		}
		all = append(all, "("+strings.Join(row, ", ")+")")
	}
	if err := result.Err(); err != nil {
		return told(err)
	}
	return strings.Join(all, " ")
}

func prepared(db *sql.DB) {
	fmt.Println("== statements that the pool prepares")
	insert, err := db.Prepare("INSERT INTO items (name, n, at) VALUES (?, ?, ?)")
	must("prepare", err)
	query, err := db.Prepare("SELECT id, name, n, at FROM items WHERE n >= ? ORDER BY id LIMIT 3")
	must("prepare", err)
	for i, kind := range []string{"", "steal", "suspend", "park", "kill", "steal"} {
		if kind != "" {
			nap(kind)
		}
		done, err := insert.Exec(fmt.Sprint("größe 🐭 ", i), i, time.Date(2024, 2, 29, 1, 2, 3+i, 456789000, time.UTC))
		must("insert", err)
		id, _ := done.LastInsertId()
		count, _ := done.RowsAffected()
		nap("steal")
		result, err := query.Query(i - 1)
		must("query", err)
		fmt.Println(kind, id, count)
		for result.Next() {
			var id, n int
			var name string
			var at time.Time
			must("scan", result.Scan(&id, &name, &n, &at))
			fmt.Println(id, name, n, at)
		}
		must("rows", result.Err())
	}
}

func transactions(db *sql.DB) {
	fmt.Println("== transactions")
	for _, commit := range []bool{false, true} {
		tx, err := db.BeginTx(background, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
		must("begin", err)
		inTx, err := tx.Prepare("UPDATE items SET n = n + ? WHERE id = ?")
		must("prepare", err)
		for i := 0; i < 3; i++ {
			_, err = inTx.Exec(100, 1)
			must("update", err)
			nap("steal", "suspend")
		}
		fmt.Println("others:", rows(db, "SELECT n FROM items WHERE id = 1"))
		fmt.Println("it:", rows(tx, "SELECT n, @@tx_isolation FROM items WHERE id = 1"))
		if commit {
			must("commit", tx.Commit())
		} else {
			must("rollback", tx.Rollback())
		}
		nap("park")
		fmt.Println("commit:", commit, rows(db, "SELECT n FROM items WHERE id = 1"))
	}
	tx, err := db.BeginTx(background, &sql.TxOptions{ReadOnly: true})
	must("begin", err)
	_, err = tx.Exec("DELETE FROM items")
	nap("suspend")
	fmt.Println("read only:", told(err), rows(tx, "SELECT COUNT(*) FROM items"))
	must("rollback", tx.Rollback())
}

// transfers moves amounts between rows from many goroutines; the sum stays the same.
func transfers(db *sql.DB) {
	fmt.Println("== many goroutines, a few sessions")
	_, err := db.Exec("INSERT INTO accounts SELECT seq, 1000 FROM seq_1_to_20")
	must("accounts", err)
	update, err := db.Prepare("UPDATE accounts SET amount = amount + ? WHERE id = ?")
	must("prepare", err)
	var crew sync.WaitGroup
	problems := make(chan error, 1000)
	for worker := 0; worker < 12; worker++ {
		crew.Add(1)
		go func(worker int) {
			defer crew.Done()
			for turn := 0; turn < 40; turn++ {
				from, to := 1+(worker+turn)%19, 20
				tx, err := db.Begin()
				if err == nil {
					_, err = tx.Stmt(update).Exec(-1, from)
				}
				if err == nil {
					_, err = tx.Stmt(update).Exec(1, to)
				}
				if err == nil {
					err = tx.Commit()
				}
				if err != nil {
					problems <- err
					return
				}
			}
		}(worker)
	}
	over := make(chan bool)
	go func() { crew.Wait(); close(over) }()
	for {
		nap("steal")
		select {
		case <-over:
			close(problems)
			for err := range problems {
				fmt.Println("problem:", told(err))
			}
			fmt.Println(rows(db, "SELECT SUM(amount), MAX(amount) FROM accounts"))
			return
		default:
		}
	}
}

func sessions(db *sql.DB) {
	fmt.Println("== what a session has")
	one, two := session(db), session(db)
	var id int64
	must("id", one.QueryRowContext(background, "SELECT CONNECTION_ID()").Scan(&id))
	for _, query := range []string{"SET @a = 'ä', time_zone = '+05:00'", "SET sql_mode = ''", "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"} {
		_, err := one.ExecContext(background, query)
		must(query, err)
	}
	for _, kind := range []string{"steal", "suspend", "park", "kill"} {
		nap(kind)
		fmt.Println(kind, rows(one, "SELECT @a, @@time_zone, @@sql_mode, DATABASE()"))
		done, err := one.ExecContext(background, "INSERT INTO items (name, n) VALUES (REPEAT('x', 70), 'z')")
		must("insert", err)
		last, _ := done.LastInsertId()
		nap("steal")
		fmt.Println(rows(one, "SHOW WARNINGS"), rows(one, "SELECT LAST_INSERT_ID()") == fmt.Sprintf("(%d)", last))
		fmt.Println(rows(one, "SELECT CONNECTION_ID() + 0") == fmt.Sprintf("(%d)", id))
	}
	fmt.Println("== locks")
	fmt.Println(rows(one, "SELECT GET_LOCK('go', 0)"))
	nap("steal", "suspend")
	fmt.Println(rows(two, "SELECT GET_LOCK(?, 0)", "go"), rows(two, "SELECT IS_USED_LOCK(?)", "go") == fmt.Sprintf("(%d)", id))
	fmt.Println(rows(one, "SELECT RELEASE_LOCK('go')"))

	fmt.Println("== a context that ends, a kill")
	soon, cancel := context.WithTimeout(background, 300*time.Millisecond)
	_, err := two.ExecContext(soon, "SELECT SLEEP(20)")
	cancel()
	fmt.Println(told(err))
	_, err = db.Exec("KILL QUERY ?", id)
	fmt.Println("KILL QUERY:", told(err), rows(one, "SELECT 1"))
	nap("steal")
	_, err = db.Exec("KILL ?", id)
	fmt.Println("KILL:", told(err))
	err = one.PingContext(background)
	fmt.Println("alive:", err == nil)
	fmt.Println(rows(db, "SELECT 1"))
}

func several(db *sql.DB) {
	fmt.Println("== several statements; rows found")
	many := open("multiStatements=true&clientFoundRows=true&interpolateParams=true&maxAllowedPacket=0")
	result, err := many.Query("SELECT 1; INSERT INTO items (name, n) VALUES (?, 77); SELECT ROW_COUNT(); SELECT COUNT(*) FROM items WHERE n = 77", "several")
	must("several", err)
	for {
		for result.Next() {
			var n int
			must("scan", result.Scan(&n))
			fmt.Println(n)
		}
		nap("steal")
		if !result.NextResultSet() {
			break
		}
	}
	must("several", result.Err())
	for _, kind := range []string{"steal", "park"} {
		nap(kind)
		done, err := many.Exec("UPDATE items SET n = 77 WHERE n = ?", 77)
		must("update", err)
		count, _ := done.RowsAffected()
		fmt.Println(count)
	}
	fmt.Println("== a file from the client")
	read, write := io.Pipe()
	mysql.RegisterReaderHandler("rows", func() io.Reader { return read })
	go func() {
		for i := 0; i < 20000; i++ {
			fmt.Fprintf(write, "%d\tloaded %d\t%d\n", 100000+i, i, i)
			if i == 10000 {
				nap("steal")
			}
		}
		write.Close()
	}()
	done, err := db.Exec("LOAD DATA LOCAL INFILE 'Reader::rows' INTO TABLE items (id, name, n)")
	must("load", err)
	count, _ := done.RowsAffected()
	fmt.Println(count, rows(db, "SELECT COUNT(*), SUM(n) FROM items WHERE id >= 100000"))
}

func main() {
	db := open("charset=utf8mb4")
	db.SetMaxOpenConns(5)
	db.SetMaxIdleConns(3)
	for _, query := range []string{
		"CREATE TABLE items (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(60), n INT, at DATETIME(6))",
		"CREATE TABLE accounts (id INT PRIMARY KEY, amount INT)",
	} {
		_, err := db.Exec(query)
		must(query, err)
	}
	prepared(db)
	transactions(db)
	transfers(db)
	sessions(open(""))
	several(db)
}
