//! What the tests dump.

use crate::server::Server;

/// One of everything that a dump can have.
pub(crate) const SHOP: &[&str] = &[
    "CREATE DATABASE shop",
    "CREATE DATABASE `odd-name` CHARACTER SET latin1",
    "USE shop",
    "CREATE TABLE customer (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(50) NOT NULL, \
     upper_name VARCHAR(50) AS (UPPER(name)) VIRTUAL, len INT AS (CHAR_LENGTH(name)) PERSISTENT, \
     kind ENUM('a', 'b;c') DEFAULT 'b;c', flags BIT(5), made TIMESTAMP(6) DEFAULT '2026-01-02 03:04:05.678901', \
     KEY (upper_name)) COMMENT = 'it''s; -- a /* comment'",
    "CREATE TABLE `order` (id INT PRIMARY KEY, customer INT, price DECIMAL(20, 5), doc JSON, file LONGBLOB, \
     FOREIGN KEY (customer) REFERENCES customer (id))",
    "CREATE TABLE parts (id INT, y INT) PARTITION BY RANGE (y) (PARTITION p0 VALUES LESS THAN (10), \
     PARTITION p1 VALUES LESS THAN MAXVALUE)",
    "CREATE TABLE log (t TEXT, n INT) ENGINE = Aria",
    "INSERT INTO customer (name, flags) VALUES ('Ann', b'101'), ('O''Neil; -- \\\\ \"x\" `y` /* z */', NULL), \
     ('Zoë 🐭 中文', b'0'), ('line\\nfeed\\0null\\Zend', 1)",
    "INSERT INTO `order` VALUES (1, 1, 12345.67890, '{\"a\": [1, \"b\"]}', NULL), (2, 3, -0.5, NULL, 'x'), \
     (3, 3, NULL, NULL, UNHEX('00ff27225c0a0d1a60'))",
    "UPDATE `order` SET file = REPEAT(UNHEX('00010203ff5c27'), 20000) WHERE id = 2",
    "INSERT INTO parts SELECT seq, seq MOD 20 FROM seq_1_to_1000",
    "INSERT INTO log VALUES ('DELIMITER ;;', 1), ('\\\\', 2), ('', 3)",
    "CREATE SEQUENCE numbers START WITH 5 INCREMENT BY 3",
    "DO NEXTVAL(numbers)",
    "CREATE FUNCTION twice(x INT) RETURNS INT DETERMINISTIC RETURN x * 2",
    "CREATE DEFINER = 'boss'@'10.%' PROCEDURE fill(n INT) MODIFIES SQL DATA COMMENT 'a; b' BEGIN \
     DECLARE i INT DEFAULT 0; WHILE i < n DO INSERT INTO log VALUES ('a;b', i); SET i = i + 1; END WHILE; END",
    "SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'",
    "CREATE PROCEDURE modes() SELECT 'back\\' AS \"a\"\"b\", ';' AS \";\"",
    "SET sql_mode = DEFAULT",
    "CREATE TRIGGER priced BEFORE UPDATE ON `order` FOR EACH ROW BEGIN IF NEW.price < 0 THEN \
     SET NEW.price = 0; END IF; END",
    "CREATE EVENT tidy ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 00:00:00' DISABLE DO DELETE FROM log WHERE n > 1",
    "CREATE VIEW named AS SELECT id, name FROM customer WHERE name <> ';'",
    "CREATE SQL SECURITY INVOKER VIEW counted AS SELECT COUNT(*) AS n, twice(COUNT(*)) AS m FROM named",
    "CREATE TABLE `odd-name`.`t``;x` (`a b` VARCHAR(10)) CHARACTER SET latin1",
    "INSERT INTO `odd-name`.`t``;x` VALUES ('é'), ('\"')",
];

pub(crate) const SCHEMAS: [&str; 2] = ["odd-name", "shop"];

pub(crate) const DUMPED: [&str; 3] = ["--databases", "odd-name", "shop"];

/// The source: a server with one of everything.
pub(crate) fn source() -> Server {
    let server = Server::start();
    server.run(&["CREATE USER 'boss'@'10.%'"]);
    server.run(SHOP);
    server
}

/// A dump with many small statements, and where the rows of its table `b` begin.
pub(crate) fn many_statements(server: &Server) -> String {
    server.run(&[
        "CREATE DATABASE s",
        "USE s",
        "CREATE TABLE s.a (id INT PRIMARY KEY, t VARCHAR(100))",
        "CREATE TABLE s.b (t VARCHAR(100))",
        "CREATE TABLE s.c (id INT PRIMARY KEY)",
        "INSERT INTO s.a SELECT seq, REPEAT('a', 90) FROM seq_1_to_1000",
        "INSERT INTO s.b SELECT REPEAT('b', 90) FROM seq_1_to_1000",
        "INSERT INTO s.c SELECT seq FROM seq_1_to_10",
    ]);
    let dump = server.dump(&["--net-buffer-length=4096", "--databases", "s"]);
    String::from_utf8(dump).unwrap()
}

/// Puts a line in front of the tenth statement with rows of table `b`; returns its number too.
pub(crate) fn spoiled(dump: &str, line: &str) -> (String, usize) {
    let mut lines: Vec<_> = dump.lines().collect();
    let rows = |line: &&str| line.starts_with("INSERT INTO `b`");
    let begins = lines.iter().enumerate().filter(|(_, line)| rows(line));
    let at = begins.map(|(at, _)| at).nth(9).unwrap();
    lines.insert(at, line);
    (lines.join("\n") + "\n", at + 1)
}
