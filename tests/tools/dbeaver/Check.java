// What DBeaver sends by JDBC: its preamble, its view of schemas and tables, a script in manual commit mode,
// the cancelling of a statement by another connection, its list of sessions.

import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.SQLWarning;
import java.sql.Savepoint;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.FutureTask;

public class Check {
    static final String SCHEMA = System.getenv("SCHEMA");

    static void nap(String... kinds) throws Exception {
        List<String> command = new ArrayList<>(List.of(System.getenv("NAP")));
        command.addAll(List.of(kinds));
        Process process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
        if (process.waitFor() != 0) {
            throw new IllegalStateException("nap " + String.join(" ", kinds) + " failed");
        }
    }

    static void say(Object... what) {
        StringBuilder line = new StringBuilder();
        for (Object each : what) {
            line.append(line.length() > 0 ? " " : "").append(String.valueOf(each).replace(SCHEMA, "SCHEMA"));
        }
        System.out.println(line);
    }

    static Connection open(String name) throws SQLException {
        Properties settings = new Properties();
        settings.setProperty("user", System.getenv("USER_NAME"));
        settings.setProperty("password", System.getenv("PASSWORD"));
        settings.setProperty("connectTimeout", "20000");
        settings.setProperty("tcpKeepAlive", "true");
        settings.setProperty("connectionAttributes", "program_name:DBeaver 24.1.0 - " + name);
        return DriverManager.getConnection("jdbc:mariadb://" + System.getenv("HOST") + ":" + System.getenv("PORT")
            + "/" + SCHEMA + "?zeroDateTimeBehavior=CONVERT_TO_NULL", settings);
    }

    static List<List<String>> read(ResultSet result) throws SQLException {
        List<List<String>> all = new ArrayList<>();
        while (result.next()) {
            List<String> row = new ArrayList<>();
            for (int i = 1; i <= result.getMetaData().getColumnCount(); i++) {
                row.add(result.getString(i));
            }
            all.add(row);
        }
        return all;
    }

    static Object rows(Connection on, String query) {
        try (Statement statement = on.createStatement()) {
            if (!statement.execute(query)) {
                return statement.getUpdateCount() + " changed";
            }
            try (ResultSet result = statement.getResultSet()) {
                return read(result);
            }
        } catch (SQLException error) {
            return error.getErrorCode() + " " + error.getSQLState();
        }
    }

    static String warnings(Statement statement) throws SQLException {
        StringBuilder all = new StringBuilder();
        for (SQLWarning w = statement.getWarnings(); w != null; w = w.getNextWarning()) {
            all.append("[").append(w.getErrorCode()).append(" ").append(w.getMessage()).append("]");
        }
        return all.toString();
    }

    /** The statements of MySQLDataSource and MySQLExecutionContext when they open a connection. */
    static void preamble(Connection on) throws SQLException {
        DatabaseMetaData data = on.getMetaData();
        say(data.getDatabaseProductName(), data.getDefaultTransactionIsolation(), data.supportsSavepoints());
        rows(on, "SET SESSION net_write_timeout=6000");
        say(rows(on, "SELECT @@GLOBAL.character_set_server,@@GLOBAL.collation_server"));
        say(rows(on, "SELECT DATABASE()"));
        say(rows(on, "SHOW VARIABLES LIKE 'lower_case_table_names'"), rows(on, "SHOW PLUGINS").toString().contains("InnoDB"));
        say(rows(on, "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = '" + SCHEMA + "'"));
        say(rows(on, "SHOW ENGINES").toString().contains("InnoDB"), rows(on, "SHOW CHARSET").toString().contains("utf8mb4"),
            rows(on, "SHOW COLLATION").toString().contains("utf8mb4_bin"));
        say(rows(on, "SET autocommit=1"), rows(on, "SELECT @@tx_isolation"));
    }

    public static void main(String[] arguments) throws Exception {
        Connection main = open("Main"), meta = open("Metadata"), script = open("SQLEditor <Script.sql>");
        for (Connection each : List.of(main, meta, script)) {
            preamble(each);
        }
        say(rows(script, "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(20) NOT NULL, n INT, at DATETIME, UNIQUE KEY (name))"));
        say(rows(script, "CREATE TABLE u (id INT PRIMARY KEY, t INT, CONSTRAINT of_t FOREIGN KEY (t) REFERENCES t (id))"));
        say(rows(script, "CREATE VIEW v AS SELECT name FROM t"), rows(script, "CREATE FUNCTION f(a INT) RETURNS INT RETURN a + 1"));
        long id = Long.parseLong(rows(script, "SELECT CONNECTION_ID()").toString().replaceAll("\\D", ""));

        System.out.println("== the tree of tables");
        for (String kind : List.of("steal", "suspend", "park")) {
            nap(kind);
            DatabaseMetaData data = meta.getMetaData();
            try (ResultSet r = data.getColumns(SCHEMA, null, "t", "%")) {
                for (List<String> row : read(r)) {
                    say(row.subList(2, 8));
                }
            }
            try (ResultSet r = data.getImportedKeys(SCHEMA, null, "u")) {
                say(read(r));
            }
            try (ResultSet r = data.getIndexInfo(SCHEMA, null, "t", false, true)) {
                for (List<String> row : read(r)) {
                    say(row.subList(3, 10));
                }
            }
            say(rows(meta, "SHOW FULL TABLES FROM `" + SCHEMA + "`"), rows(meta, "SHOW CREATE VIEW v"));
            say(rows(meta, "SELECT ROUTINE_NAME, ROUTINE_TYPE FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA='" + SCHEMA + "'"));
        }

        System.out.println("== a script with manual commit");
        script.setAutoCommit(false);
        for (String kind : List.of("steal", "suspend")) {
            try (PreparedStatement insert = script.prepareStatement("INSERT INTO t (name, n) VALUES (?, ?)", Statement.RETURN_GENERATED_KEYS)) {
                for (int i = 0; i < 3; i++) {
                    insert.setString(1, kind + i);
                    insert.setInt(2, i);
                    insert.addBatch();
                }
                int sum = 0;
                for (int count : insert.executeBatch()) {
                    sum += count;
                }
                ResultSet keys = insert.getGeneratedKeys();
                say(sum, read(keys).size());
            }
            nap(kind);
            Savepoint here = script.setSavepoint("here");
            say(rows(script, "DELETE FROM t"), rows(main, "SELECT COUNT(*) FROM t"));
            nap(kind);
            script.rollback(here);
            say(rows(script, "INSERT INTO t (name) VALUES ('" + kind + "1')"), rows(script, "SHOW ERRORS"));
            if (kind.equals("steal")) {
                script.rollback();
            } else {
                script.commit();
            }
            nap("park");
            say(rows(main, "SELECT id > 0, name, n FROM t ORDER BY name"));
        }
        script.setAutoCommit(true);
        try (Statement statement = script.createStatement()) {
            statement.execute("SET sql_mode=''");
            for (String kind : List.of("steal", "park")) {
                statement.executeUpdate("UPDATE t SET n = 'z', name = CONCAT(name, REPEAT('y', 30)) WHERE name LIKE '%0%'");
                nap(kind);
                say(warnings(statement), statement.getUpdateCount());
            }
        }

        System.out.println("== the same table, edited: rows by their keys");
        try (PreparedStatement update = main.prepareStatement("UPDATE t SET n=? WHERE name=?")) {
            for (String kind : List.of("steal", "suspend", "park", "kill")) {
                update.setInt(1, kind.length() * 11);
                update.setString(2, "suspend1");
                nap(kind);
                say(update.executeUpdate(), rows(main, "SELECT n FROM t WHERE name = 'suspend1'"));
            }
        }
        try (Statement statement = main.createStatement(ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_READ_ONLY)) {
            statement.setFetchSize(200);
            statement.setMaxRows(5000);
            int sum = 0;
            ResultSet result = statement.executeQuery("SELECT seq FROM seq_1_to_10000");
            while (result.next()) {
                sum += result.getInt(1);
                if (sum == 500500) {
                    nap("steal");
                }
            }
            say(sum);
        }

        System.out.println("== a statement is cancelled");
        for (String kind : List.of("", "steal")) {
            Statement slow = script.createStatement();
            FutureTask<String> task = new FutureTask<>(() -> {
                try {
                    slow.execute("SELECT SLEEP(30) /* slow " + kind + " */");
                    return "not cancelled";
                } catch (SQLException error) {
                    return error.getErrorCode() + " " + error.getSQLState();
                }
            });
            if (!kind.isEmpty()) {
                nap(kind);
            }
            new Thread(task).start();
            while (!rows(meta, "SHOW FULL PROCESSLIST").toString().contains(id + ", " + rows(meta, "SELECT USER()").toString().replaceAll("[\\[\\]]", "").replaceAll("@.*", ""))
                || !rows(meta, "SHOW FULL PROCESSLIST").toString().contains("slow " + kind)) {
                Thread.sleep(20);
            }
            try {
                slow.cancel();
                say("cancelled");
            } catch (SQLException error) {
                say("cancel() fails:", error.getErrorCode(), error.getSQLState());
                rows(meta, "KILL QUERY " + id);
            }
            say(task.get(), rows(script, "SELECT 1"));
        }
        try (Statement timed = script.createStatement()) {
            timed.setQueryTimeout(1);
            timed.execute("SELECT SLEEP(30)");
            say("no timeout");
        } catch (SQLException error) {
            say(error.getClass().getSimpleName(), error.getSQLState());
        }

        System.out.println("== the list of sessions");
        nap("steal", "suspend");
        say(rows(meta, "SHOW FULL PROCESSLIST").toString().contains("[" + id + ","));
        say(rows(meta, "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID = " + id));
        say(rows(meta, "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID = CONNECTION_ID()"));
        say(rows(meta, "KILL QUERY " + id), rows(script, "SELECT 2"));
        say(rows(meta, "KILL CONNECTION " + id), rows(script, "SELECT 3"), script.isValid(5));
        say(main.isValid(5), meta.isValid(5));
    }
}
