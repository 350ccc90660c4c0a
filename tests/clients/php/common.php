<?php
// Shared by the PHP clients: connection settings, comparisons, naps.
declare(strict_types=1);

const BIG_QUERY = "SELECT seq, CONCAT('row ', seq, REPEAT('x', seq % 50)) FROM seq_1_to_200000";
const SETTINGS = '@@sql_mode, @@time_zone, @@character_set_client, @@collation_connection, DATABASE()';

set_error_handler(function (int $level, string $message): never {
    fail("a warning of PHP: $message");
});
set_exception_handler(function (Throwable $error): never {
    fail((string) $error);
});

function fail(string $message): never
{
    fwrite(STDERR, $message . "\n");
    exit(1);
}

function env(string $name): string
{
    return (string) getenv($name);
}

function equal(string $what, mixed $got, mixed $expected): void
{
    if ($got !== $expected) {
        fail("$what: expected " . substr(var_export($expected, true), 0, 300)
            . ', got ' . substr(var_export($got, true), 0, 300));
    }
}

function nap(string $kind): void
{
    passthru(escapeshellarg(env('NAP')) . ' ' . escapeshellarg($kind), $code);
    equal("exit code of nap $kind", $code, 0);
}

/** The expected settings after settings_to_set(). */
function settings_kept(): array
{
    return ['ANSI_QUOTES,STRICT_ALL_TABLES', '+03:00', 'utf8mb4', 'utf8mb4_german2_ci', env('SCHEMA_2')];
}

function settings_to_set(): array
{
    return [
        "SET sql_mode='ANSI_QUOTES,STRICT_ALL_TABLES', time_zone='+03:00'",
        'SET NAMES utf8mb4 COLLATE utf8mb4_german2_ci',
        'USE ' . env('SCHEMA_2'),
    ];
}

/** Rows of every type. The first is all NULL, so that the next has new parameter types. */
function types_rows(): array
{
    return [
        [1, null, null, null, null, null, null, null],
        [2, PHP_INT_MIN, -2.5, '-12345678901234.567890', 'grüße 🐭', "\x00\xff\x01", '2024-02-29',
            '2024-02-29 23:59:59.123456'],
        [3, PHP_INT_MAX, 1e300, '0.000001', str_repeat('ü', 1 << 20), random_bytes(2 << 20), '1000-01-01',
            '9999-12-31 00:00:00.000000'],
    ];
}

function types_table(string $name): string
{
    return "CREATE OR REPLACE TABLE $name (id INT PRIMARY KEY, n BIGINT, d DOUBLE, x DECIMAL(20,6),"
        . ' s LONGTEXT, b LONGBLOB, day DATE, at DATETIME(6))';
}

/** Compares streamed rows of BIG_QUERY with the expected ones. */
function big_result(iterable $rows): void
{
    $got = hash_init('crc32b');
    $expected = hash_init('crc32b');
    $count = 0;
    foreach ($rows as [$number, $text]) {
        $count++;
        hash_update($got, "$number:$text\n");
        hash_update($expected, "$count:row $count" . str_repeat('x', $count % 50) . "\n");
    }
    equal('rows of a big result', $count, 200000);
    equal('checksum of a big result', hash_final($got), hash_final($expected));
}

/** Creates a file of the numbers 1 to 1000, for LOAD DATA LOCAL. */
function load_file(): string
{
    $name = tempnam(sys_get_temp_dir(), 'numbers');
    file_put_contents($name, implode("\n", range(1, 1000)) . "\n");
    return $name;
}
