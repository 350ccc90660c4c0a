// database/sql with go-sql-driver: pings, and a query that the server prepares. Says "ready", then checks until its stdin ends.
package main

import (
	"bufio"
	"database/sql"
	"fmt"
	"os"
	"time"

	_ "github.com/go-sql-driver/mysql"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	db, err := sql.Open("mysql", fmt.Sprintf("%s:%s@tcp(%s:%s)/d",
		os.Getenv("USER_NAME"), os.Getenv("PASSWORD"), os.Getenv("HOST"), os.Getenv("PORT")))
	must(err)
	db.SetMaxIdleConns(2)
	db.SetMaxOpenConns(2)
	var i int
	must(db.QueryRow("SELECT i FROM t").Scan(&i))
	fmt.Println("ready")
	over := make(chan bool)
	go func() {
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
		close(over)
	}()
	for checks := 0; ; checks++ {
		if os.Args[1] == "go-prepared" {
			// with a parameter it is prepared
			must(db.QueryRow("SELECT ?", 1).Scan(&i))
		} else {
			must(db.Ping())
		}
		select {
		case <-over:
			fmt.Println("checks", checks+1)
			return
		case <-time.After(500 * time.Millisecond):
		}
	}
}
