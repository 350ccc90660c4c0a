// Flyway's statements by JDBC: MySQLConnection, MySQLNamedLockTemplate, MySQLDatabase, MySQLTable and
// JdbcTableSchemaHistory of its sources, since Flyway is in no package of Debian. Two migrators start at once.

import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

public class Check {
    static final String SCHEMA = System.getenv("SCHEMA");
    static final String TABLE = "`" + SCHEMA + "`.`flyway_schema_history`";

    static void nap(String... kinds) throws Exception {
        List<String> command = new ArrayList<>(List.of(System.getenv("NAP")));
        command.addAll(List.of(kinds));
        Process process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
        if (process.waitFor() != 0) {
            throw new IllegalStateException("nap " + String.join(" ", kinds) + " failed");
        }
    }

    static Connection open(String options) throws SQLException {
        return DriverManager.getConnection("jdbc:mariadb://" + System.getenv("HOST") + ":" + System.getenv("PORT")
            + "/" + SCHEMA + "?allowPublicKeyRetrieval=true&" + options, System.getenv("USER_NAME"), System.getenv("PASSWORD"));
    }

    static String told(Object what) {
        return String.valueOf(what).replace(SCHEMA, "SCHEMA");
    }

    static List<String> rows(Connection on, String query, Object... values) throws SQLException {
        try (PreparedStatement statement = on.prepareStatement(query)) {
            for (int i = 0; i < values.length; i++) {
                statement.setObject(i + 1, values[i]);
            }
            List<String> all = new ArrayList<>();
            try (ResultSet result = statement.executeQuery()) {
                while (result.next()) {
                    StringBuilder row = new StringBuilder();
                    for (int i = 1; i <= result.getMetaData().getColumnCount(); i++) {
                        row.append(i > 1 ? " " : "").append(result.getString(i));
                    }
                    all.add(row.toString());
                }
            }
            return all;
        }
    }

    static void run(Connection on, String... statements) throws SQLException {
        for (String text : statements) {
            try (Statement statement = on.createStatement()) {
                statement.execute(text);
            }
        }
    }

    /** One run of 'flyway migrate': a connection for the history, one for the migrations. */
    static class Migrator {
        final Connection main;
        final Connection migrations;
        final String name;
        final List<String> said = new ArrayList<>();
        final String lock = "Flyway-" + TABLE.hashCode();

        Migrator(String name, String options) throws Exception {
            this.name = name;
            main = open(options);
            migrations = open(options);
            for (Connection each : List.of(main, migrations)) {
                rows(each, "SELECT VERSION()");
                rows(each, "SELECT @@foreign_key_checks");
                rows(each, "SELECT @@sql_safe_updates");
                rows(each, "SHOW DATABASES LIKE 'RDSAdmin'");
                rows(each, "SELECT variable_name FROM information_schema.user_variables WHERE variable_value IS NOT NULL");
            }
            said.add(told(rows(main, "SELECT @@GLOBAL.WSREP_ON") + " " + rows(main, "SELECT DATABASE()")
                + " " + rows(main, "SELECT event_name FROM information_schema.events LIMIT 1")));
        }

        String user() throws SQLException {
            return rows(main, "SELECT SUBSTRING_INDEX(USER(),'@',1)").get(0);
        }

        void create() throws SQLException {
            run(main, "CREATE TABLE " + TABLE + " (\n    `installed_rank` INT NOT NULL,\n    `version` VARCHAR(50),\n"
                + "    `description` VARCHAR(200) NOT NULL,\n    `type` VARCHAR(20) NOT NULL,\n    `script` VARCHAR(1000) NOT NULL,\n"
                + "    `checksum` INT,\n    `installed_by` VARCHAR(100) NOT NULL,\n"
                + "    `installed_on` TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,\n    `execution_time` INT NOT NULL,\n"
                + "    `success` BOOL NOT NULL,\n    CONSTRAINT `flyway_schema_history_pk` PRIMARY KEY (`installed_rank`)\n) AS SELECT"
                + "     1 as \"installed_rank\",     '1' as \"version\",     'baseline' as \"description\",     'BASELINE' as \"type\","
                + "     'baseline' as \"script\",     NULL as \"checksum\",     '" + user() + "' as \"installed_by\","
                + "     CURRENT_TIMESTAMP as \"installed_on\",     0 as \"execution_time\",     TRUE as \"success\"\n",
                "CREATE INDEX `flyway_schema_history_s_idx` ON " + TABLE + " (`success`)");
        }

        /** Waits as MySQLNamedLockTemplate does. */
        void locked(Work work) throws Exception {
            while (!rows(main, "SELECT GET_LOCK(?,10)", lock).get(0).equals("1")) {
                Thread.sleep(100);
            }
            try {
                work.run();
            } finally {
                rows(main, "SELECT RELEASE_LOCK('" + lock + "')");
            }
        }

        /** Applies the next migration, if there is one; returns whether it did. */
        boolean next(String[][] all, String... kinds) throws Exception {
            boolean[] done = {false};
            locked(() -> {
                List<String> applied = rows(main, "SELECT `version` FROM " + TABLE + " WHERE `installed_rank` > ? ORDER BY `installed_rank`", -1);
                if (applied.size() > all.length) {
                    return;
                }
                nap(kinds);
                String[] migration = all[applied.size() - 1];
                migrations.setAutoCommit(false);
                run(migrations, migration);
                migrations.commit();
                migrations.setAutoCommit(true);
                restore();
                nap(kinds);
                int rank = applied.size() + 1;
                try (PreparedStatement insert = main.prepareStatement("INSERT INTO " + TABLE + " (`installed_rank`, `version`,"
                    + " `description`, `type`, `script`, `checksum`, `installed_by`, `execution_time`, `success`)"
                    + " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")) {
                    Object[] values = {rank, "" + rank, "migration", "SQL", "V" + rank + "__x.sql", rank * 77, user(), 5, 1};
                    for (int i = 0; i < values.length; i++) {
                        insert.setObject(i + 1, values[i]);
                    }
                    insert.executeUpdate();
                }
                done[0] = true;
            });
            return done[0];
        }

        /** MySQLConnection.doRestoreOriginalState */
        void restore() throws SQLException {
            List<String> names = rows(migrations, "SELECT variable_name FROM information_schema.user_variables WHERE variable_value IS NOT NULL");
            said.add("user variables: " + names.stream().sorted().toList());
            if (!names.isEmpty()) {
                run(migrations, "SET " + String.join(",", names.stream().map(n -> "@" + n + "=NULL").toList()));
            }
            try (PreparedStatement set = migrations.prepareStatement("SET foreign_key_checks=?, sql_safe_updates=?")) {
                set.setInt(1, 1);
                set.setInt(2, 0);
                set.execute();
            }
            said.add("variables: " + rows(migrations, "SELECT @@foreign_key_checks, @@sql_safe_updates, @step, @rows"));
        }
    }

    interface Work {
        void run() throws Exception;
    }

    static final String[][] MIGRATIONS = {
        {"SET @step = 1, foreign_key_checks = 0", "CREATE TABLE parents (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(20))",
            "INSERT INTO parents (name) VALUES ('one'), ('two')"},
        {"CREATE TABLE children (id INT PRIMARY KEY, parent INT, FOREIGN KEY (parent) REFERENCES parents (id))",
            "SET @last = (SELECT MAX(id) FROM parents)", "INSERT INTO children VALUES (1, @last), (2, @last)"},
        {"CREATE PROCEDURE fill(n INT) BEGIN DECLARE i INT DEFAULT 0; WHILE i < n DO INSERT INTO parents (name) VALUES (CONCAT('p', i));"
            + " SET i = i + 1; END WHILE; SET @rows = n; END", "CALL fill(50)"},
        {"SET @step = 4", "ALTER TABLE parents ADD COLUMN at DATETIME NULL, ADD KEY (name)", "UPDATE parents SET name = CONCAT(name, @step)"},
        {"CREATE TEMPORARY TABLE picked AS SELECT id FROM parents WHERE id % 2", "DELETE FROM parents WHERE id IN (SELECT id FROM picked) AND id > 2",
            "DROP TEMPORARY TABLE picked"},
    };

    public static void main(String[] arguments) {
        try {
            check();
        } catch (Exception error) {
            error.printStackTrace();
            System.exit(1);
        }
    }

    static void check() throws Exception {
        for (String options : List.of("", "useServerPrepStmts=true&rewriteBatchedStatements=true")) {
            System.out.println("== two migrators, " + options);
            try (Connection fresh = open("")) {
                run(fresh, "DROP TABLE IF EXISTS " + TABLE + ", children, parents", "DROP PROCEDURE IF EXISTS fill");
            }
            Migrator one = new Migrator("one", options), two = new Migrator("two", options);
            nap("park");
            // alone: nobody waits in GET_LOCK(), so the database can sleep in the middle
            int alone = 0;
            one.locked(one::create);
            for (int i = 0; i < (options.isEmpty() ? 2 : 3); i++) {
                alone += one.next(MIGRATIONS, "steal", "suspend") ? 1 : 0;
            }
            ExecutorService crew = Executors.newFixedThreadPool(2);
            CountDownLatch ready = new CountDownLatch(2);
            List<Future<Integer>> runs = new ArrayList<>();
            for (Migrator each : List.of(one, two)) {
                runs.add(crew.submit(() -> {
                    ready.countDown();
                    ready.await();
                    each.locked(() -> {
                        if (rows(each.main, "SELECT 1 FROM information_schema.tables WHERE table_schema=? AND table_name=? LIMIT 1",
                            SCHEMA, "flyway_schema_history").isEmpty()) {
                            each.create();
                        }
                    });
                    int count = 0;
                    for (int turn = 0; turn < 20; turn++) {
                        int applied = Integer.parseInt(rows(each.main, "SELECT COUNT(*) FROM " + TABLE).get(0)) - 1;
                        if (applied >= MIGRATIONS.length) {
                            break;
                        }
                        if (each.next(MIGRATIONS, "steal")) {
                            count++;
                        }
                    }
                    return count;
                }));
            }
            int count = alone;
            for (Future<Integer> run : runs) {
                count += run.get();
            }
            crew.shutdown();
            System.out.println("migrations applied: " + count);
            List<String> said = new ArrayList<>(one.said);
            said.addAll(two.said);
            said.stream().sorted().forEach(System.out::println);
            nap("park");
            System.out.println(rows(one.main, "SELECT installed_rank, version, type, checksum, success FROM " + TABLE + " ORDER BY 1"));
            System.out.println(rows(two.main, "SELECT COUNT(*), GROUP_CONCAT(name ORDER BY id) FROM parents"));
            System.out.println(rows(two.migrations, "SELECT * FROM children"));

            System.out.println("== the lock is let go when its session ends");
            System.out.println(rows(one.main, "SELECT GET_LOCK(?,10)", one.lock));
            nap("steal", "suspend");
            System.out.println(rows(two.main, "SELECT GET_LOCK(?,0)", two.lock));
            one.main.close();
            System.out.println(rows(two.main, "SELECT GET_LOCK(?,20)", two.lock));
            System.out.println(rows(two.main, "SELECT RELEASE_LOCK(?)", two.lock));
            try {
                run(two.migrations, "ALTER TABLE parents ADD COLUMN name INT");
            } catch (SQLException error) {
                System.out.println(error.getErrorCode() + " " + error.getSQLState());
            }
            one.migrations.close();
            two.main.close();
            two.migrations.close();
        }
    }
}
