<?php
// PHP's mysqli on mysqlnd: real prepared statements; persistent connections use COM_CHANGE_USER.
declare(strict_types=1);

require __DIR__ . '/common.php';
mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);

function connect(string $prefix = ''): mysqli
{
    $db = mysqli_init();
    $db->options(MYSQLI_OPT_LOCAL_INFILE, true);
    $db->options(MYSQLI_OPT_INT_AND_FLOAT_NATIVE, true);
    $flags = match (env('MODE')) {
        'tls' => MYSQLI_CLIENT_SSL | MYSQLI_CLIENT_SSL_DONT_VERIFY_SERVER_CERT,
        'compressed' => MYSQLI_CLIENT_COMPRESS,
        default => 0,
    };
    $socket = env('MODE') === 'socket';
    $db->real_connect(
        $prefix . ($socket ? 'localhost' : env('HOST')),
        env('USER_NAME'),
        env('PASSWORD'),
        env('SCHEMA'),
        $socket ? null : (int) env('PORT'),
        $socket ? env('SOCKET') : null,
        $flags,
    );
    $db->set_charset('utf8mb4');
    return $db;
}

function simple(mysqli $db): void
{
    equal('simple query', $db->query("SELECT 1+1, 'grüße 🐭', NULL")->fetch_row(), [2, 'grüße 🐭', null]);
    try {
        $db->query('SELECT * FROM no_such_table');
        fail('a missing table is no error');
    } catch (mysqli_sql_exception $error) {
        equal('a missing table', $error->getCode(), 1146);
    }
    $db->change_user(env('USER_NAME'), env('PASSWORD'), env('SCHEMA_2'));
    equal('after a change of user', $db->query('SELECT DATABASE()')->fetch_row(), [env('SCHEMA_2')]);
    $db->select_db(env('SCHEMA'));
}

function prepared(mysqli $db): void
{
    $db->query(types_table('mysqli_types'));
    $insert = $db->prepare('INSERT INTO mysqli_types VALUES (?,?,?,?,?,?,?,?)');
    $rows = types_rows();
    foreach ($rows as $row) {
        [$id, $n, $d, $x, $s, $b, $day, $at] = $row;
        $long = null;
        $insert->bind_param('iidssbss', $id, $n, $d, $x, $s, $long, $day, $at);
        if ($b !== null) {
            foreach (str_split($b, 512 * 1024) as $part) {
                $insert->send_long_data(5, $part);
            }
        }
        $insert->execute();
    }
    $select = $db->prepare('SELECT * FROM mysqli_types WHERE id = ?');
    foreach ($rows as $row) {
        $id = $row[0];
        $select->bind_param('i', $id);
        $select->execute();
        equal("row $id of all types", $select->get_result()->fetch_row(), $row);
    }
    $echo = $db->prepare('SELECT ?');
    foreach ([1, 'two', null, 2.5, str_repeat('x', 100000)] as $value) {
        $echo->bind_param(is_int($value) ? 'i' : (is_float($value) ? 'd' : 's'), $value);
        $echo->execute();
        equal('a parameter of a new type', $echo->get_result()->fetch_row(), [$value]);
    }
    $db->query('DROP TABLE mysqli_types');
}

function streamed(mysqli $db): Generator
{
    $result = $db->query(BIG_QUERY, MYSQLI_USE_RESULT);
    while ($row = $result->fetch_row()) {
        yield $row;
    }
}

function transactions(mysqli $db): void
{
    $db->query('CREATE OR REPLACE TABLE mysqli_t (i INT PRIMARY KEY)');
    foreach (['rollback' => 0, 'commit' => 1] as $end => $expected) {
        $db->begin_transaction();
        $db->query('INSERT INTO mysqli_t VALUES (1)');
        $db->$end();
        equal("after $end", $db->query('SELECT COUNT(*) FROM mysqli_t')->fetch_row(), [$expected]);
    }
}

function several_statements(mysqli $db): void
{
    $db->multi_query('SELECT 1; DO 0; SELECT 3');
    $results = [];
    do {
        $result = $db->store_result();
        $results[] = $result ? $result->fetch_row() : null;
    } while ($db->more_results() && $db->next_result());
    equal('several statements', $results, [[1], null, [3]]);
}

function load_data(mysqli $db): void
{
    $file = load_file();
    $db->query('TRUNCATE mysqli_t');
    $db->query("LOAD DATA LOCAL INFILE '$file' INTO TABLE mysqli_t");
    equal('LOAD DATA', $db->query('SELECT COUNT(*), CAST(SUM(i) AS INT) FROM mysqli_t')->fetch_row(), [1000, 500500]);
    $db->query('DROP TABLE mysqli_t');
    unlink($file);
}

function naps(): void
{
    $db = connect();
    foreach (settings_to_set() as $statement) {
        $db->query($statement);
    }
    $select = $db->prepare('SELECT ?, ' . SETTINGS);
    foreach (['none', 'suspend', 'park', 'kill'] as $kind) {
        if ($kind !== 'none') {
            nap($kind);
        }
        $select->bind_param('s', $kind);
        $select->execute();
        equal("settings after $kind", $select->get_result()->fetch_row(), [$kind, ...settings_kept()]);
    }
    $select->close();
    $db->close();
}

function nap_in_transaction(): void
{
    $db = connect();
    $db->query('CREATE TEMPORARY TABLE t (i INT) ENGINE=InnoDB');
    $db->query('SET @v = 5');
    $db->begin_transaction();
    $db->query('INSERT INTO t VALUES (1)');
    nap('suspend');
    equal('in the transaction', $db->query('SELECT COUNT(*), @v FROM t')->fetch_row(), [1, 5]);
    $db->rollback();
    equal('rolled back', $db->query('SELECT COUNT(*) FROM t')->fetch_row(), [0]);
    $db->close();
}

function persistent(): void
{
    $db = connect('p:');
    $id = $db->thread_id;
    $db->query("SET time_zone = '+05:00'");
    $db->close();
    $db = connect('p:');
    equal('a persistent connection used again', $db->thread_id, $id);
    equal('its time zone', $db->query('SELECT @@time_zone = @@global.time_zone')->fetch_row(), [1]);
    $db->close();
}

$db = connect();
simple($db);
prepared($db);
big_result(streamed($db));
transactions($db);
several_statements($db);
load_data($db);
$db->close();
persistent();
naps();
nap_in_transaction();
