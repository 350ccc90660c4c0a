<?php
// WordPress on mysqli: installs it, then uses it in 50 processes, each with its own wpdb connection.
declare(strict_types=1);

const ACCOUNTS = 200;
const OPENING = 1000;

define('WORKERS', (int) getenv('WORKERS'));
define('ROUND', (float) getenv('ROUND'));
define('IDLE', (float) getenv('IDLE'));

define('DB_HOST', getenv('HOST') . ':' . getenv('PORT'));
define('DB_USER', getenv('USER_NAME'));
define('DB_PASSWORD', getenv('PASSWORD'));
define('DB_NAME', getenv('SCHEMA'));
define('DB_CHARSET', 'utf8mb4');
define('DB_COLLATE', '');
define('ABSPATH', getenv('WORDPRESS') . '/usr/share/wordpress/');
define('WP_CONTENT_DIR', getenv('WORDPRESS') . '/var/lib/wordpress/wp-content');
define('WP_INSTALLING', true);
define('DISABLE_WP_CRON', true);
define('WP_HTTP_BLOCK_EXTERNAL', true);
$_SERVER += ['HTTP_HOST' => 'localhost', 'SERVER_PROTOCOL' => 'HTTP/1.1', 'REQUEST_METHOD' => 'GET', 'REQUEST_URI' => '/'];

function fail(string $message): never
{
    fwrite(STDERR, $message . "\n");
    exit(1);
}

function equal(string $what, mixed $got, mixed $expected): void
{
    if ($got !== $expected) {
        fail("$what: expected " . var_export($expected, true) . ', got ' . var_export($got, true));
    }
}

/** Replaces WordPress's function: the installation would send a mail. */
function wp_mail(): bool
{
    return true;
}

/** Runs the nap program with these arguments; returns whether it succeeded. */
function nap(string ...$words): bool
{
    passthru(implode(' ', array_map('escapeshellarg', [getenv('NAP'), ...$words])), $code);
    return $code === 0;
}

// --- what WordPress does -----------------------------------------------------------------------------

/** Fails if any statement has failed; wpdb itself only records errors. */
function no_errors(): void
{
    global $EZSQL_ERROR;
    equal('errors of wpdb', $EZSQL_ERROR ?? [], []);
}

function install(): void
{
    global $wpdb;
    require_once ABSPATH . 'wp-admin/includes/upgrade.php';
    wp_install('Dormouse', 'admin', 'admin@example.org', false, '', 'secret');
    dbDelta("CREATE TABLE {$wpdb->prefix}account (id INT NOT NULL AUTO_INCREMENT, balance INT NOT NULL, PRIMARY KEY  (id))");
    $wpdb->query("INSERT INTO {$wpdb->prefix}account (balance) VALUES " . implode(',', array_fill(0, ACCOUNTS, '(' . OPENING . ')')));
    for ($i = 0; $i < 5; $i++) {
        wp_insert_term("tag $i", 'post_tag');
    }
    wp_installing(false);
    // WordPress expects an error when it looks for tables that do not exist yet.
    $GLOBALS['EZSQL_ERROR'] = [];
}

/** Two different accounts, the lower first: locking in this order avoids deadlocks. */
function choose(int $worker, int $turn): array
{
    $first = ($worker * 7 + $turn) % ACCOUNTS;
    $second = ($first + 1 + $turn % (ACCOUNTS - 1)) % ACCOUNTS;
    return [min($first, $second) + 1, max($first, $second) + 1];
}

/** A transaction as in plugins, since wpdb has no function for it. */
function move(int $worker, int $turn, string $end): void
{
    global $wpdb;
    $wpdb->query('START TRANSACTION');
    foreach (choose($worker, $turn) as $i => $account) {
        $by = $i === 0 ? -1 : 1;
        $sql = "UPDATE {$wpdb->prefix}account SET balance = balance + %d WHERE id = %d";
        equal('updated', $wpdb->query($wpdb->prepare($sql, $by, $account)), 1);
    }
    $wpdb->query($end);
}

function turn(int $worker, int $turn): void
{
    global $wpdb;
    if ($turn % 4 === 0) {
        move($worker, $turn, 'ROLLBACK');
    }
    move($worker, $turn, 'COMMIT');
    $id = wp_insert_post([
        'post_title' => "worker $worker turn $turn",
        'post_content' => "written 🐭 by $worker",
        'post_status' => 'publish',
        'post_author' => 1,
        'tags_input' => ['tag ' . $worker % 5],
        'meta_input' => ['worker' => $worker, 'turn' => $turn],
    ]);
    wp_insert_comment(['comment_post_ID' => $id, 'comment_content' => "comment $turn", 'comment_author' => "worker $worker"]);
    wp_cache_flush();
    $mine = new WP_Query([
        'meta_key' => 'worker', 'meta_value' => $worker, 'tag' => 'tag-' . $worker % 5,
        'posts_per_page' => 3, 'orderby' => 'ID', 'order' => 'DESC',
    ]);
    equal('own posts', $mine->found_posts, $turn + 1);
    foreach ($mine->posts as $i => $post) {
        $n = $turn - $i;
        equal('title', $post->post_title, "worker $worker turn $n");
        equal('content', $post->post_content, "written 🐭 by $worker");
        equal('meta', get_post_meta($post->ID, 'turn', true), (string) $n);
        equal('comments', array_column(get_comments(['post_id' => $post->ID]), 'comment_content'), ["comment $n"]);
    }
    equal('settings', $wpdb->get_row('SELECT @@time_zone, @@character_set_client', ARRAY_N), ['+03:00', 'utf8mb4']);
}

function check(array $turns): void
{
    global $wpdb;
    $balances = array_fill(1, ACCOUNTS, OPENING);
    foreach ($turns as $worker => $count) {
        for ($n = 0; $n < $count; $n++) {
            [$low, $high] = choose($worker, $n);
            $balances[$low]--;
            $balances[$high]++;
        }
    }
    $got = $wpdb->get_col("SELECT balance FROM {$wpdb->prefix}account ORDER BY id");
    equal('balances', array_map(intval(...), $got), array_values($balances));
    $all = (string) array_sum($turns);
    $posts = "FROM {$wpdb->posts} WHERE post_title LIKE 'worker %'";
    equal('posts', $wpdb->get_var("SELECT COUNT(*) $posts"), $all);
    equal('titles', $wpdb->get_var("SELECT COUNT(DISTINCT post_title) $posts"), $all);
    equal('comments', $wpdb->get_var("SELECT COUNT(*) FROM {$wpdb->comments} WHERE comment_author LIKE 'worker %'"), $all);
    $tagged = "SELECT COUNT(*) FROM {$wpdb->term_relationships} JOIN {$wpdb->term_taxonomy} USING (term_taxonomy_id)";
    equal('tags', $wpdb->get_var("$tagged WHERE taxonomy = 'post_tag'"), $all);
}

function connect(): void
{
    global $wpdb;
    $wpdb->db_connect();
    $wpdb->query("SET time_zone = '+03:00'");
}

// --- the workers ------------------------------------------------------------------------------------------

/** The jobs of a worker; the result is sent to the parent. */
function job(int $worker, string $what, float $until): mixed
{
    global $wpdb;
    static $turn = 0;
    if ($what === 'turns') {
        $connection = mysqli_thread_id($wpdb->dbh);
        do {
            turn($worker, $turn++);
        } while (microtime(true) < $until);
        equal('the connection', mysqli_thread_id($wpdb->dbh), $connection);
        return $turn;
    }
    match ($what) {
        'connect' => connect(),
        'validation' => equal('usable', $wpdb->check_connection(false), true),
        'probe' => equal('probe', $wpdb->get_var('SELECT 1'), '1'),
        'reconnect' => [$wpdb->close(), connect(), equal('probe', $wpdb->get_var('SELECT 1'), '1')],
    };
    return null;
}

/** Main loop of a worker: reads a line, runs its job, writes a line. */
function live(int $worker, mixed $parent): never
{
    while (($line = fgets($parent)) !== false) {
        [$what, $until] = explode(' ', trim($line));
        $answer = job($worker, $what, (float) $until);
        no_errors();
        fwrite($parent, json_encode($answer) . "\n");
    }
    exit(0);
}

function crew(): array
{
    $crew = [];
    for ($worker = 0; $worker < WORKERS; $worker++) {
        [$mine, $its] = stream_socket_pair(STREAM_PF_UNIX, STREAM_SOCK_STREAM, 0);
        if (pcntl_fork() === 0) {
            array_map(fclose(...), [$mine, ...$crew]);
            live($worker, $its);
        }
        fclose($its);
        $crew[] = $mine;
    }
    return $crew;
}

function start(array $crew, string $what, float $seconds = 0): void
{
    foreach ($crew as $worker) {
        fwrite($worker, $what . ' ' . (microtime(true) + $seconds) . "\n");
    }
}

function finish(array $crew): array
{
    $answers = array_map(fgets(...), $crew);
    equal('workers that failed', count(array_keys($answers, false, true)), 0);
    return array_map(json_decode(...), $answers);
}

function run(array $crew, string $what, float $seconds = 0): array
{
    start($crew, $what, $seconds);
    return finish($crew);
}

function work(array $crew): array
{
    foreach (['suspend', 'park', 'kill'] as $kind) {
        start($crew, 'turns', ROUND);
        usleep((int) (ROUND / 2 * 1e6));
        $slept = nap('jolt');
        finish($crew);
        equal('nap while working', $slept, true);
        equal("nap $kind", nap($kind), true);
    }
    // All workers wake the database at once.
    return run($crew, 'turns', ROUND / 2);
}

function idle(array $crew): array
{
    $woken = [];
    foreach (['validation' => IDLE, 'probe' => 0, 'reconnect' => 0] as $what => $seconds) {
        equal('nap park', nap('park'), true);
        $end = microtime(true) + $seconds;
        run($crew, $what);
        while (microtime(true) < $end) {
            sleep(1);
            run($crew, $what);
        }
        if (!nap('still', $what)) {
            $woken[] = $what;
        }
    }
    return $woken;
}

/** Runs a function with the parent's own connection, which is closed while the workers run. */
function alone(callable $what): void
{
    global $wpdb;
    connect();
    $what();
    no_errors();
    $wpdb->close();
}

$table_prefix = 'wp_';
require ABSPATH . 'wp-settings.php';
install();
no_errors();
$wpdb->close();
$crew = crew();
run($crew, 'connect');
$turns = work($crew);
alone(fn () => check($turns));
$woken = idle($crew);
$turns = run($crew, 'turns');
alone(fn () => check($turns));
equal('what woke the database', $woken, []);
echo array_sum($turns), " posts\n";
