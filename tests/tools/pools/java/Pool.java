// A pool of Java: HikariCP or DBCP. Says "ready" when it is filled, then keeps it until its stdin ends.
import java.sql.Connection;
import java.sql.Statement;
import javax.sql.DataSource;

public class Pool {
    static final String URL = "jdbc:mariadb://" + System.getenv("HOST") + ":" + System.getenv("PORT") + "/d";

    // the least interval that it allows between two checks of an idle connection
    static DataSource hikari(boolean test) {
        com.zaxxer.hikari.HikariConfig config = new com.zaxxer.hikari.HikariConfig();
        config.setJdbcUrl(URL + "?useServerPrepStmts=true");
        config.setUsername(System.getenv("USER_NAME"));
        config.setPassword(System.getenv("PASSWORD"));
        config.setMinimumIdle(2);
        config.setMaximumPoolSize(2);
        config.setMaxLifetime(30_000);
        config.setConnectionTimeout(20_000);
        if (test) {
            config.setConnectionTestQuery("SELECT 1");
        }
        return new com.zaxxer.hikari.HikariDataSource(config);
    }

    static DataSource dbcp(String query) {
        org.apache.commons.dbcp2.BasicDataSource pool = new org.apache.commons.dbcp2.BasicDataSource();
        pool.setUrl(URL + "?useServerPrepStmts=true");
        pool.setUsername(System.getenv("USER_NAME"));
        pool.setPassword(System.getenv("PASSWORD"));
        pool.setMinIdle(2);
        pool.setInitialSize(2);
        pool.setTestWhileIdle(true);
        pool.setTestOnBorrow(true);
        pool.setTimeBetweenEvictionRunsMillis(500);
        if (query != null) {
            pool.setValidationQuery(query);
        }
        return pool;
    }

    public static void main(String[] args) throws Exception {
        DataSource pool = switch (args[0]) {
            case "hikari" -> hikari(false);
            case "hikari-query" -> hikari(true);
            case "dbcp" -> dbcp(null);
            case "dbcp-dual" -> dbcp("SELECT 1 FROM DUAL");
            default -> throw new IllegalArgumentException(args[0]);
        };
        try (Connection connection = pool.getConnection(); Statement statement = connection.createStatement()) {
            statement.executeQuery("SELECT i FROM t").close();
        }
        System.out.println("ready");
        // an application that borrows a connection and returns it: the pool checks it
        int checks = 0;
        while (System.in.available() == 0) {
            Thread.sleep(600);
            try (Connection connection = pool.getConnection()) {
                checks += connection.isValid(5) ? 1 : 0;
            }
        }
        System.out.println("checks " + checks);
        System.exit(0);
    }
}
