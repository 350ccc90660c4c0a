-- The schema that the tools dump, copy and change: tables of many types with keys, a view, stored code.
SET NAMES utf8mb4;
SET SESSION default_storage_engine = InnoDB;

CREATE TABLE customers (
    id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
    name VARCHAR(60) NOT NULL,
    city VARCHAR(30) CHARACTER SET latin1 COLLATE latin1_german1_ci,
    kind ENUM('new', 'old', 'größer') NOT NULL DEFAULT 'new',
    tags SET('a', 'b', 'c'),
    since DATE,
    UNIQUE KEY name (name),
    FULLTEXT KEY words (name)
) COMMENT='who buys; "quotes" and ''quotes''';

CREATE TABLE orders (
    id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
    customer INT UNSIGNED NOT NULL,
    amount DECIMAL(12,2) NOT NULL DEFAULT 0,
    doubled DECIMAL(14,2) AS (amount * 2) STORED,
    note TEXT,
    at TIMESTAMP(6) NOT NULL DEFAULT '2001-02-03 04:05:06.789012',
    KEY at (at),
    CONSTRAINT of_customer FOREIGN KEY (customer) REFERENCES customers (id) ON DELETE CASCADE,
    CONSTRAINT positive CHECK (amount >= 0)
);

CREATE TABLE blobs (id INT PRIMARY KEY, b LONGBLOB, f DOUBLE, g BIT(12), j JSON);
CREATE TABLE aria (i INT PRIMARY KEY, t VARCHAR(100)) ENGINE=Aria;
CREATE TABLE log (id BIGINT AUTO_INCREMENT PRIMARY KEY, what VARCHAR(100), KEY what (what));
CREATE SEQUENCE numbers START WITH 100 INCREMENT BY 7;

INSERT INTO customers (name, city, kind, tags, since)
    SELECT CONCAT('customer ', seq, ' ünï 🐭'), IF(seq % 7, CONCAT('Köln ', seq % 13), NULL), 1 + seq % 3, seq % 8,
        DATE '1990-01-01' + INTERVAL seq DAY
    FROM seq_1_to_2000;
INSERT INTO orders (customer, amount, note)
    SELECT 1 + seq % 2000, seq / 3, REPEAT(CONCAT('note ', seq, '\n\\''"\t'), seq % 20) FROM seq_1_to_30000;
INSERT INTO blobs SELECT seq, UNHEX(REPEAT(SHA2(seq, 512), 40 + seq % 300)), 1 / seq, seq % 4096, JSON_OBJECT('n', seq)
    FROM seq_1_to_300;
INSERT INTO aria SELECT seq, MD5(seq) FROM seq_1_to_500;
DO NEXTVAL(numbers), NEXTVAL(numbers);

CREATE VIEW totals AS SELECT c.name, SUM(o.amount) AS total FROM customers c JOIN orders o ON o.customer = c.id GROUP BY c.id;

DELIMITER //
CREATE FUNCTION twice(n INT) RETURNS INT DETERMINISTIC RETURN 2 * n//
CREATE PROCEDURE total_of(IN who INT, OUT total DECIMAL(20,2))
BEGIN
    DECLARE EXIT HANDLER FOR NOT FOUND SET total = NULL;
    SELECT SUM(amount) INTO total FROM orders WHERE customer = who;
END//
CREATE TRIGGER orders_log AFTER INSERT ON orders FOR EACH ROW
    INSERT INTO log (what) VALUES (CONCAT('order of ', NEW.customer))//
CREATE TRIGGER orders_gone BEFORE DELETE ON orders FOR EACH ROW
    INSERT INTO log (what) VALUES (CONCAT('gone ', OLD.id))//
CREATE EVENT tidy ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 00:00:00' DO DELETE FROM log WHERE id < 0//
DELIMITER ;
