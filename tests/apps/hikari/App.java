// HikariCP with MariaDB Connector/J: a pool of 50 with validation, server-side prepared statements.

import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

public final class App {
    private static final int WORKERS = Integer.parseInt(env("WORKERS"));
    private static final long ROUND = (long) (1000 * Double.parseDouble(env("ROUND")));
    private static final long IDLE = (long) (1000 * Double.parseDouble(env("IDLE")));
    private static final int ACCOUNTS = 200;
    private static final int OPENING = 1000;

    private final int[] turns = new int[WORKERS];
    private final ExecutorService crew = Executors.newFixedThreadPool(WORKERS);
    private final HikariDataSource pool;
    /** The driver's connections inside the pool's wrappers. */
    private final Set<Connection> used = ConcurrentHashMap.newKeySet();

    private interface Job {
        void run(int worker) throws Exception;
    }

    private interface Work<T> {
        T with(Connection db) throws Exception;
    }

    private static final class Undo extends RuntimeException {}

    private static String env(String name) {
        return Objects.requireNonNullElse(System.getenv(name), "");
    }

    private App() {
        HikariConfig config = new HikariConfig();
        config.setJdbcUrl("jdbc:mariadb://" + env("HOST") + ":" + env("PORT") + "/" + env("SCHEMA")
            + "?useServerPrepStmts=true&cachePrepStmts=true");
        config.setUsername(env("USER_NAME"));
        config.setPassword(env("PASSWORD"));
        config.setMaximumPoolSize(WORKERS);
        config.setMinimumIdle(WORKERS);
        config.setConnectionInitSql("SET time_zone = '+03:00', lock_wait_timeout = 77");
        config.setTransactionIsolation("TRANSACTION_READ_COMMITTED");
        pool = new HikariDataSource(config);
    }

    private static void equal(String what, Object got, Object expected) {
        if (!Objects.equals(got, expected)) {
            throw new AssertionError(what + ": expected " + expected + ", got " + got);
        }
    }

    /** Runs the nap program with these arguments; returns whether it succeeded. */
    private static boolean nap(String... words) throws Exception {
        List<String> command = new ArrayList<>(List.of(env("NAP")));
        command.addAll(Arrays.asList(words));
        return new ProcessBuilder(command).inheritIO().start().waitFor() == 0;
    }

    /** Two different accounts, the lower first: locking in this order avoids deadlocks. */
    private static int[] choose(int worker, int turn) {
        int first = (worker * 7 + turn) % ACCOUNTS;
        int second = (first + 1 + turn % (ACCOUNTS - 1)) % ACCOUNTS;
        return new int[] {Math.min(first, second) + 1, Math.max(first, second) + 1};
    }

    private List<Future<?>> start(Job job) {
        List<Future<?>> started = new ArrayList<>();
        for (int i = 0; i < WORKERS; i++) {
            int worker = i;
            started.add(crew.submit((Callable<Void>) () -> {
                job.run(worker);
                return null;
            }));
        }
        return started;
    }

    private static void finish(List<Future<?>> started) throws Exception {
        for (Future<?> job : started) {
            try {
                job.get();
            } catch (ExecutionException error) {
                throw new AssertionError("a worker failed", error.getCause());
            }
        }
    }

    private <T> T transaction(Work<T> work) throws Exception {
        try (Connection db = pool.getConnection()) {
            db.setAutoCommit(false);
            try {
                T done = work.with(db);
                db.commit();
                return done;
            } catch (Throwable error) {
                db.rollback();
                throw error;
            }
        }
    }

    private static int update(Connection db, String text, Object... values) throws SQLException {
        try (PreparedStatement statement = db.prepareStatement(text)) {
            for (int i = 0; i < values.length; i++) {
                statement.setObject(i + 1, values[i]);
            }
            return statement.executeUpdate();
        }
    }

    private static List<List<Object>> rows(Connection db, String text, Object... values) throws SQLException {
        try (PreparedStatement statement = db.prepareStatement(text)) {
            for (int i = 0; i < values.length; i++) {
                statement.setObject(i + 1, values[i]);
            }
            List<List<Object>> all = new ArrayList<>();
            try (ResultSet rows = statement.executeQuery()) {
                while (rows.next()) {
                    List<Object> row = new ArrayList<>();
                    for (int i = 1; i <= rows.getMetaData().getColumnCount(); i++) {
                        row.add(rows.getString(i));
                    }
                    all.add(row);
                }
            }
            return all;
        }
    }

    private void tables() throws Exception {
        try (Connection db = pool.getConnection(); Statement s = db.createStatement()) {
            s.execute("CREATE TABLE account (id INT PRIMARY KEY AUTO_INCREMENT, balance INT NOT NULL)");
            s.execute("CREATE TABLE transfer (id INT PRIMARY KEY AUTO_INCREMENT, worker INT NOT NULL, turn INT NOT NULL,"
                + " source INT NOT NULL REFERENCES account (id), target INT NOT NULL REFERENCES account (id),"
                + " UNIQUE (worker, turn))");
            s.execute("CREATE TABLE note (id INT PRIMARY KEY AUTO_INCREMENT, body VARCHAR(100) NOT NULL,"
                + " transfer INT NOT NULL REFERENCES transfer (id))");
            try (PreparedStatement insert = db.prepareStatement("INSERT INTO account (balance) VALUES (?)")) {
                for (int i = 0; i < ACCOUNTS; i++) {
                    insert.setInt(1, OPENING);
                    insert.addBatch();
                }
                insert.executeBatch();
            }
        }
    }

    private static void move(Connection db, int worker, int turn) throws SQLException {
        int[] chosen = choose(worker, turn);
        rows(db, "SELECT id FROM account WHERE id IN (?, ?) ORDER BY id FOR UPDATE", chosen[0], chosen[1]);
        equal("updated", update(db, "UPDATE account SET balance = balance - 1 WHERE id = ?", chosen[0]), 1);
        equal("updated", update(db, "UPDATE account SET balance = balance + 1 WHERE id = ?", chosen[1]), 1);
        int id;
        try (PreparedStatement insert = db.prepareStatement(
                "INSERT INTO transfer (worker, turn, source, target) VALUES (?, ?, ?, ?)",
                Statement.RETURN_GENERATED_KEYS)) {
            insert.setInt(1, worker);
            insert.setInt(2, turn);
            insert.setInt(3, chosen[0]);
            insert.setInt(4, chosen[1]);
            insert.executeUpdate();
            try (ResultSet keys = insert.getGeneratedKeys()) {
                keys.next();
                id = keys.getInt(1);
            }
        }
        Savepoint before = db.setSavepoint("before_note");
        update(db, "INSERT INTO note (body, transfer) VALUES (?, ?)", "not kept", id);
        db.rollback(before);
        update(db, "INSERT INTO note (body, transfer) VALUES (?, ?)", "note 🐭 " + turn, id);
    }

    private void turn(int worker) throws Exception {
        int turn = turns[worker];
        if (turn % 4 == 0) {
            try {
                transaction(db -> {
                    move(db, worker, turn);
                    throw new Undo();
                });
            } catch (Undo expected) {
                equal("rolled back", transaction(db -> rows(db,
                    "SELECT COUNT(*) FROM transfer WHERE worker = ? AND turn = ?", worker, turn)), List.of(List.of("0")));
            }
        }
        transaction(db -> {
            move(db, worker, turn);
            return null;
        });
        turns[worker]++;
        List<List<Object>> expected = new ArrayList<>();
        for (int n = turn; n >= 0 && n > turn - 3; n--) {
            int[] chosen = choose(worker, n);
            expected.add(List.of("" + n, "" + chosen[0], "" + chosen[1], "note 🐭 " + n));
        }
        try (Connection db = pool.getConnection()) {
            used.add(db.unwrap(Connection.class));
            equal("latest transfers", rows(db, "SELECT turn, source, target, body FROM transfer"
                + " JOIN note ON note.transfer = transfer.id WHERE worker = ? ORDER BY turn DESC LIMIT 3", worker), expected);
            equal("own transfers", rows(db, "SELECT COUNT(*), @@time_zone, @@lock_wait_timeout FROM transfer WHERE worker = ?",
                worker), List.of(List.of("" + (turn + 1), "+03:00", "77")));
            equal("isolation", db.getTransactionIsolation(), Connection.TRANSACTION_READ_COMMITTED);
        }
    }

    private void workUntil(int worker, long end) throws Exception {
        while (System.currentTimeMillis() < end) {
            turn(worker);
        }
    }

    private void work() throws Exception {
        for (String kind : List.of("suspend", "park", "kill")) {
            long end = System.currentTimeMillis() + ROUND;
            List<Future<?>> started = start(worker -> workUntil(worker, end));
            Thread.sleep(ROUND / 2);
            boolean slept = nap("jolt");
            finish(started);
            equal("nap while working", slept, true);
            equal("nap " + kind, nap(kind), true);
        }
        // All workers wake the database at once.
        long end = System.currentTimeMillis() + ROUND / 2;
        finish(start(worker -> workUntil(worker, end)));
    }

    private void check() throws Exception {
        List<List<Object>> expected = new ArrayList<>();
        int[] balances = new int[ACCOUNTS + 1];
        int all = 0;
        for (int worker = 0; worker < WORKERS; worker++) {
            all += turns[worker];
            for (int n = 0; n < turns[worker]; n++) {
                int[] chosen = choose(worker, n);
                balances[chosen[0]]--;
                balances[chosen[1]]++;
            }
        }
        for (int id = 1; id <= ACCOUNTS; id++) {
            expected.add(List.of("" + id, "" + (OPENING + balances[id])));
        }
        try (Connection db = pool.getConnection()) {
            equal("transfers", rows(db, "SELECT COUNT(*) FROM transfer"), List.of(List.of("" + all)));
            equal("notes", rows(db, "SELECT COUNT(*) FROM note"), List.of(List.of("" + all)));
            equal("balances", rows(db, "SELECT id, balance FROM account ORDER BY id"), expected);
        }
    }

    private static boolean probe(Connection db) throws SQLException {
        try (Statement s = db.createStatement(); ResultSet rows = s.executeQuery("SELECT 1")) {
            return rows.next() && rows.getInt(1) == 1;
        }
    }

    /** Runs a question on every connection of the pool at once. */
    private void withAll(Work<Boolean> question) throws Exception {
        CountDownLatch taken = new CountDownLatch(WORKERS);
        finish(start(worker -> {
            try (Connection db = pool.getConnection()) {
                taken.countDown();
                taken.await();
                equal("usable", question.with(db), true);
            }
        }));
    }

    private boolean stays(String what, long idle, Work<Boolean> question) throws Exception {
        equal("nap park", nap("park"), true);
        if (what.equals("reconnect")) {
            pool.getHikariPoolMXBean().softEvictConnections();
        }
        long end = System.currentTimeMillis() + idle;
        withAll(question);
        while (System.currentTimeMillis() < end) {
            Thread.sleep(1000);
            withAll(question);
        }
        return nap("still", what);
    }

    private List<String> idle() throws Exception {
        List<String> woken = new ArrayList<>();
        // As getConnection() after half a second without use, and as a health check.
        if (!stays("validation", IDLE, db -> db.isValid(1))) {
            woken.add("validation");
        }
        if (!stays("probe", 0, App::probe)) {
            woken.add("probe");
        }
        if (!stays("reconnect", 0, App::probe)) {
            woken.add("reconnect");
        }
        return woken;
    }

    private void run() throws Exception {
        tables();
        // The pool fills in the background until it is full.
        withAll(App::probe);
        work();
        equal("more connections than workers", used.size() > WORKERS, false);
        check();
        List<String> woken = idle();
        finish(start(this::turn));
        check();
        pool.close();
        equal("what woke the database", woken, List.of());
        System.out.println(Arrays.stream(turns).sum() + " transfers");
    }

    public static void main(String[] args) throws Exception {
        try {
            new App().run();
            System.exit(0);
        } catch (Throwable error) {
            error.printStackTrace();
            System.exit(1);
        }
    }
}
