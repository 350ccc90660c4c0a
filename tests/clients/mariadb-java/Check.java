// MariaDB Connector/J: server-side prepared statements, pipelined batches.

import java.io.ByteArrayInputStream;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.Date;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Timestamp;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.Random;
import java.util.zip.CRC32;

public final class Check {
    private static final boolean TLS = env("MODE").equals("tls");
    private static final boolean COMPRESSED = env("MODE").equals("compressed");

    private static String env(String name) {
        return Objects.requireNonNullElse(System.getenv(name), "");
    }

    private static Connection connect(String... options) throws SQLException {
        String url = "jdbc:mariadb://" + env("HOST") + ":" + env("PORT") + "/" + env("SCHEMA")
            + "?useServerPrepStmts=true&allowLocalInfile=true"
            + (TLS ? "&useSsl=true&trustServerCertificate=true" : "")
            + (COMPRESSED ? "&useCompression=true" : "");
        for (String option : options) {
            url += "&" + option;
        }
        return DriverManager.getConnection(url, env("USER_NAME"), env("PASSWORD"));
    }

    private static void equal(String what, Object got, Object expected) {
        if (!Objects.equals(got, expected)) {
            throw new AssertionError(what + ": expected " + brief(expected) + ", got " + brief(got));
        }
    }

    private static String brief(Object value) {
        String text = String.valueOf(value);
        return text.length() > 300 ? text.substring(0, 300) : text;
    }

    private static void nap(String kind) throws Exception {
        Process nap = new ProcessBuilder(env("NAP"), kind).inheritIO().start();
        equal("exit code of nap " + kind, nap.waitFor(), 0);
    }

    private static void run(Connection db, String statement) throws SQLException {
        try (Statement s = db.createStatement()) {
            s.execute(statement);
        }
    }

    private static List<Object> row(ResultSet rows) throws SQLException {
        List<Object> row = new ArrayList<>();
        for (int i = 1; i <= rows.getMetaData().getColumnCount(); i++) {
            row.add(rows.getString(i));
        }
        return row;
    }

    private static List<Object> one(Connection db, String statement) throws SQLException {
        try (Statement s = db.createStatement(); ResultSet rows = s.executeQuery(statement)) {
            rows.next();
            return row(rows);
        }
    }

    private static void simple(Connection db) throws SQLException {
        equal("simple query", one(db, "SELECT 1+1, 'grüße 🐭', NULL"), Arrays.asList("2", "grüße 🐭", null));
        try {
            run(db, "SELECT * FROM no_such_table");
            throw new AssertionError("a missing table is no error");
        } catch (SQLException error) {
            equal("a missing table", error.getErrorCode() + " " + error.getSQLState(), "1146 42S02");
        }
        equal("valid", db.isValid(5), true);
        db.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
        equal("isolation", db.getTransactionIsolation(), Connection.TRANSACTION_SERIALIZABLE);
        db.setTransactionIsolation(Connection.TRANSACTION_REPEATABLE_READ);
    }

    private static void prepared(Connection db) throws SQLException {
        run(db, "CREATE OR REPLACE TABLE java_types (id INT PRIMARY KEY, n BIGINT, d DOUBLE,"
            + " x DECIMAL(20,6), s LONGTEXT, b LONGBLOB, day DATE, at DATETIME(6))");
        byte[] blob = new byte[2 << 20];
        new Random(1).nextBytes(blob);
        Object[][] table = {
            {1, null, null, null, null, null, null, null},
            {2, Long.MIN_VALUE, -2.5, new BigDecimal("-12345678901234.567890"), "grüße 🐭",
                new byte[] {0, -1, 1}, Date.valueOf("2024-02-29"),
                Timestamp.valueOf("2024-02-29 12:59:59.123456")},
            {3, Long.MAX_VALUE, 1e300, new BigDecimal("0.000001"), "ü".repeat(1 << 20),
                blob, Date.valueOf("2000-01-01"), Timestamp.valueOf("9999-12-31 00:00:00")},
        };
        try (PreparedStatement insert = db.prepareStatement("INSERT INTO java_types VALUES (?,?,?,?,?,?,?,?)")) {
            for (Object[] row : table) {
                for (int i = 0; i < row.length; i++) {
                    insert.setObject(i + 1, row[i]);
                }
                equal("rows inserted", insert.executeUpdate(), 1);
            }
            // The connector sends the batch as one bulk execution.
            for (int id = 10; id < 1010; id++) {
                for (int i = 0; i < 8; i++) {
                    insert.setObject(i + 1, i == 0 ? (Object) id : null);
                }
                insert.addBatch();
            }
            equal("rows of a batch", insert.executeBatch().length, 1000);
            insert.setInt(1, 4);
            insert.setBlob(6, new ByteArrayInputStream(blob));
            insert.executeUpdate();
        }
        try (PreparedStatement select = db.prepareStatement("SELECT * FROM java_types WHERE id = ?")) {
            for (Object[] row : table) {
                select.setInt(1, (Integer) row[0]);
                try (ResultSet got = select.executeQuery()) {
                    equal("a row", got.next(), true);
                    equal("n", got.getObject("n"), row[1]);
                    equal("d", got.getObject("d"), row[2]);
                    equal("x", got.getObject("x"), row[3]);
                    equal("s", got.getString("s"), row[4]);
                    equal("b", Arrays.equals(got.getBytes("b"), (byte[]) row[5]), true);
                    equal("day", got.getDate("day"), row[6]);
                    equal("at", got.getTimestamp("at"), row[7]);
                }
            }
        }
        equal("rows", one(db, "SELECT COUNT(*) FROM java_types").get(0), "1004");
        run(db, "DROP TABLE java_types");
    }

    private static void bigResult(Connection db, boolean binary) throws SQLException {
        String query = "SELECT seq, CONCAT('row ', seq, REPEAT('x', seq % 50)) FROM seq_1_to_200000";
        CRC32 got = new CRC32();
        CRC32 expected = new CRC32();
        int count = 0;
        try (Statement s = binary ? db.prepareStatement(query) : db.createStatement()) {
            s.setFetchSize(1000);
            try (ResultSet rows = binary ? ((PreparedStatement) s).executeQuery() : s.executeQuery(query)) {
                while (rows.next()) {
                    count++;
                    got.update((rows.getLong(1) + ":" + rows.getString(2)).getBytes(StandardCharsets.UTF_8));
                    expected.update((count + ":row " + count + "x".repeat(count % 50)).getBytes(StandardCharsets.UTF_8));
                }
            }
        }
        equal("rows of a big result", count, 200_000);
        equal("checksum of a big result", got.getValue(), expected.getValue());
    }

    private static void transactions(Connection db) throws SQLException {
        run(db, "CREATE OR REPLACE TABLE java_t (i INT PRIMARY KEY)");
        db.setAutoCommit(false);
        run(db, "INSERT INTO java_t VALUES (1)");
        db.rollback();
        equal("after rollback", one(db, "SELECT COUNT(*) FROM java_t").get(0), "0");
        run(db, "INSERT INTO java_t VALUES (1)");
        db.commit();
        db.setAutoCommit(true);
        equal("after commit", one(db, "SELECT COUNT(*) FROM java_t").get(0), "1");
    }

    private static void severalStatements() throws SQLException {
        try (Connection db = connect("allowMultiQueries=true"); Statement s = db.createStatement()) {
            s.execute("SELECT 1; DO 0; SELECT 3");
            s.getResultSet().next();
            equal("first", s.getResultSet().getInt(1), 1);
            equal("second has rows", s.getMoreResults(), false);
            equal("second", s.getUpdateCount(), 0);
            equal("third has rows", s.getMoreResults(), true);
            s.getResultSet().next();
            equal("third", s.getResultSet().getInt(1), 3);
        }
    }

    private static void loadData(Connection db) throws Exception {
        Path file = Files.createTempFile("numbers", ".txt");
        StringBuilder lines = new StringBuilder();
        for (int i = 1; i <= 1000; i++) {
            lines.append(i).append('\n');
        }
        Files.writeString(file, lines);
        run(db, "TRUNCATE java_t");
        run(db, "LOAD DATA LOCAL INFILE '" + file + "' INTO TABLE java_t");
        equal("LOAD DATA", one(db, "SELECT COUNT(*), SUM(i) FROM java_t"), List.of("1000", "500500"));
        run(db, "DROP TABLE java_t");
        Files.delete(file);
    }

    private static void naps() throws Exception {
        try (Connection db = connect()) {
            run(db, "SET sql_mode='ANSI_QUOTES,STRICT_ALL_TABLES', time_zone='+03:00'");
            run(db, "SET NAMES utf8mb4 COLLATE utf8mb4_german2_ci");
            db.setCatalog(env("SCHEMA_2"));
            db.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
            String settings = "@@sql_mode, @@time_zone, @@character_set_client, @@collation_connection, DATABASE()";
            try (PreparedStatement select = db.prepareStatement("SELECT ?, " + settings)) {
                for (String kind : new String[] {"none", "suspend", "park", "kill"}) {
                    if (!kind.equals("none")) {
                        nap(kind);
                    }
                    select.setString(1, kind);
                    try (ResultSet rows = select.executeQuery()) {
                        rows.next();
                        equal("settings after " + kind, row(rows), List.of(kind, "ANSI_QUOTES,STRICT_ALL_TABLES",
                            "+03:00", "utf8mb4", "utf8mb4_german2_ci", env("SCHEMA_2")));
                    }
                    equal("isolation after " + kind, db.getTransactionIsolation(),
                        Connection.TRANSACTION_READ_COMMITTED);
                }
            }
        }
    }

    private static void napInTransaction() throws Exception {
        try (Connection db = connect()) {
            run(db, "CREATE TEMPORARY TABLE t (i INT) ENGINE=InnoDB");
            run(db, "SET @v = 5");
            db.setAutoCommit(false);
            run(db, "INSERT INTO t VALUES (1)");
            nap("suspend");
            equal("in the transaction", one(db, "SELECT COUNT(*), @v FROM t"), List.of("1", "5"));
            db.rollback();
            equal("rolled back", one(db, "SELECT COUNT(*) FROM t").get(0), "0");
        }
    }

    public static void main(String[] args) throws Exception {
        try (Connection db = connect()) {
            simple(db);
            prepared(db);
            bigResult(db, false);
            bigResult(db, true);
            transactions(db);
            severalStatements();
            loadData(db);
        }
        naps();
        napInTransaction();
    }
}
