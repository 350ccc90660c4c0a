<?php
// PHP's PDO, with emulated prepares (its default) and with real ones.
declare(strict_types=1);

require __DIR__ . '/common.php';

function connect(bool $emulate = false): PDO
{
    $where = env('MODE') === 'socket' ? 'unix_socket=' . env('SOCKET') : 'host=' . env('HOST') . ';port=' . env('PORT');
    $options = [
        PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION,
        PDO::ATTR_DEFAULT_FETCH_MODE => PDO::FETCH_NUM,
        PDO::ATTR_EMULATE_PREPARES => $emulate,
        PDO::MYSQL_ATTR_LOCAL_INFILE => true,
    ];
    if (env('MODE') === 'tls') {
        // Any certificate option turns TLS on; these authorities are not used.
        $options[PDO::MYSQL_ATTR_SSL_CA] = '/etc/ssl/certs/ca-certificates.crt';
        $options[PDO::MYSQL_ATTR_SSL_VERIFY_SERVER_CERT] = false;
    }
    return new PDO("mysql:$where;dbname=" . env('SCHEMA') . ';charset=utf8mb4', env('USER_NAME'), env('PASSWORD'), $options);
}

function simple(PDO $db): void
{
    equal('simple query', $db->query("SELECT 1+1, 'grüße 🐭', NULL")->fetch(), [2, 'grüße 🐭', null]);
    try {
        $db->query('SELECT * FROM no_such_table');
        fail('a missing table is no error');
    } catch (PDOException $error) {
        equal('a missing table', $error->errorInfo[0] . ' ' . $error->errorInfo[1], '42S02 1146');
    }
}

function prepared(PDO $db): void
{
    $db->exec(types_table('pdo_types'));
    $rows = types_rows();
    $insert = $db->prepare('INSERT INTO pdo_types VALUES (?,?,?,?,?,?,?,?)');
    foreach ($rows as $row) {
        foreach ($row as $i => $value) {
            $insert->bindValue($i + 1, $value, match (true) {
                is_int($value) => PDO::PARAM_INT,
                is_null($value) => PDO::PARAM_NULL,
                $i === 5 => PDO::PARAM_LOB,
                default => PDO::PARAM_STR,
            });
        }
        $insert->execute();
    }
    $select = $db->prepare('SELECT * FROM pdo_types WHERE id = ?');
    foreach ($rows as $row) {
        $select->execute([$row[0]]);
        equal("row $row[0] of all types", $select->fetch(), $row);
        $select->closeCursor();
    }
    $db->exec('DROP TABLE pdo_types');
}

function streamed(PDO $db): Generator
{
    $db->setAttribute(PDO::MYSQL_ATTR_USE_BUFFERED_QUERY, false);
    $rows = $db->query(BIG_QUERY);
    while ($row = $rows->fetch()) {
        yield $row;
    }
    $rows->closeCursor();
    $db->setAttribute(PDO::MYSQL_ATTR_USE_BUFFERED_QUERY, true);
}

function transactions(PDO $db): void
{
    $db->exec('CREATE OR REPLACE TABLE pdo_t (i INT PRIMARY KEY)');
    foreach (['rollBack' => 0, 'commit' => 1] as $end => $expected) {
        $db->beginTransaction();
        $db->exec('INSERT INTO pdo_t VALUES (1)');
        $db->$end();
        equal("after $end", $db->query('SELECT COUNT(*) FROM pdo_t')->fetch(), [$expected]);
    }
}

function several_statements(): void
{
    $db = connect(emulate: true);
    $result = $db->query('SELECT 1; DO 0; SELECT 3');
    $results = [];
    do {
        $results[] = $result->columnCount() > 0 ? $result->fetch() : null;
    } while ($result->nextRowset());
    equal('several statements', $results, [[1], null, [3]]);
}

function load_data(PDO $db): void
{
    $file = load_file();
    $db->exec('TRUNCATE pdo_t');
    $db->exec("LOAD DATA LOCAL INFILE '$file' INTO TABLE pdo_t");
    equal('LOAD DATA', $db->query('SELECT COUNT(*), CAST(SUM(i) AS INT) FROM pdo_t')->fetch(), [1000, 500500]);
    $db->exec('DROP TABLE pdo_t');
    unlink($file);
}

function naps(bool $emulate): void
{
    $db = connect($emulate);
    foreach (settings_to_set() as $statement) {
        $db->exec($statement);
    }
    $select = $db->prepare('SELECT ?, ' . SETTINGS);
    foreach (['none', 'suspend', 'park', 'kill'] as $kind) {
        if ($kind !== 'none') {
            nap($kind);
        }
        $select->execute([$kind]);
        equal("settings after $kind", $select->fetch(), [$kind, ...settings_kept()]);
        $select->closeCursor();
    }
}

function nap_in_transaction(): void
{
    $db = connect();
    $db->exec('CREATE TEMPORARY TABLE t (i INT) ENGINE=InnoDB');
    $db->exec('SET @v = 5');
    $db->beginTransaction();
    $db->exec('INSERT INTO t VALUES (1)');
    nap('suspend');
    equal('in the transaction', $db->query('SELECT COUNT(*), @v FROM t')->fetch(), [1, 5]);
    $db->rollBack();
    equal('rolled back', $db->query('SELECT COUNT(*) FROM t')->fetch(), [0]);
}

$db = connect();
simple($db);
prepared($db);
big_result(streamed($db));
transactions($db);
several_statements();
load_data($db);
unset($db);
naps(emulate: false);
naps(emulate: true);
nap_in_transaction();
