// node mysql2: `query` uses the text protocol, `execute` a prepared statement cached per connection.
'use strict';

const { execFileSync } = require('child_process');
const { strict: assert } = require('assert');
const crypto = require('crypto');
const path = require('path');
const { Readable } = require('stream');
const { pathToFileURL } = require('url');

// The package is in the cache folder, not beside this file.
const load = require('module').createRequire(pathToFileURL(path.join(process.env.NODE_HOME, 'x.js')));
const mysql = load('mysql2/promise');

const { MODE, HOST, PORT, SOCKET, USER_NAME, PASSWORD, SCHEMA, SCHEMA_2 } = process.env;

function connect(options = {}) {
  return mysql.createConnection({
    ...(MODE === 'socket' ? { socketPath: SOCKET } : { host: HOST, port: Number(PORT) }),
    compress: MODE === 'compressed',
    ...(MODE === 'tls' ? { ssl: { rejectUnauthorized: false } } : {}),
    user: USER_NAME,
    password: PASSWORD,
    database: SCHEMA,
    charset: 'utf8mb4_general_ci',
    rowsAsArray: true,
    supportBigNumbers: true,
    bigNumberStrings: true,
    dateStrings: true,
    ...options,
  });
}

function nap(kind) {
  execFileSync(path.join(__dirname, '..', 'nap'), [kind], { stdio: ['ignore', 'inherit', 'inherit'] });
}

async function rows(db, statement, parameters) {
  const [got] = await db.query(statement, parameters);
  return got;
}

async function simple(db) {
  assert.equal(Boolean(db.connection.stream.encrypted), MODE === 'tls', 'encrypted');
  assert.deepEqual(await rows(db, "SELECT 1+1, 'grüße 🐭', NULL"), [[2, 'grüße 🐭', null]]);
  await assert.rejects(rows(db, 'SELECT * FROM no_such_table'), { errno: 1146, sqlState: '42S02' });
  await db.ping();
  await db.changeUser({ user: USER_NAME, password: PASSWORD, database: SCHEMA_2 });
  assert.deepEqual(await rows(db, 'SELECT DATABASE()'), [[SCHEMA_2]]);
  await db.changeUser({ user: USER_NAME, password: PASSWORD, database: SCHEMA });
}

async function prepared(db) {
  await rows(
    db,
    'CREATE OR REPLACE TABLE mysql2_types (id INT PRIMARY KEY, n BIGINT, d DOUBLE, x DECIMAL(20,6),' +
      ' s LONGTEXT, b LONGBLOB, day DATE, at DATETIME(6), t TIME(6))',
  );
  const table = [
    [1, null, null, null, null, null, null, null, null],
    [2, '-9223372036854775808', -2.5, '-12345678901234.567890', 'grüße 🐭', Buffer.from([0, 255, 1]),
      '2024-02-29', '2024-02-29 23:59:59.123456', '-100:01:02.000003'],
    [3, '9223372036854775807', 1e300, '0.000001', 'ü'.repeat(1 << 20), crypto.randomBytes(2 << 20),
      '1000-01-01', '9999-12-31 00:00:00.000000', '838:59:59.000000'],
  ];
  for (const row of table) {
    await db.execute('INSERT INTO mysql2_types VALUES (?,?,?,?,?,?,?,?,?)', row);
  }
  for (const row of table) {
    const [got] = await db.execute('SELECT id, CAST(n AS CHAR), d, x, s, b, day, CAST(at AS CHAR), CAST(t AS CHAR)' +
      ' FROM mysql2_types WHERE id = ?', [row[0]]);
    assert.ok(got.length === 1, 'one row');
    got[0].forEach((value, i) => {
      const same = Buffer.isBuffer(value) ? value.equals(row[i]) : value === row[i];
      assert.ok(same, `row ${row[0]}, column ${i}: ${String(value).slice(0, 60)}`);
    });
  }
  for (const value of ['two', null, 2.5, 'x'.repeat(100000)]) {
    const [got] = await db.execute('SELECT ?', [value]);
    assert.deepEqual(got, [[value]]);
  }
  await rows(db, 'DROP TABLE mysql2_types');
}

async function bigResult(db) {
  const stream = db.connection
    .query("SELECT seq, CONCAT('row ', seq, REPEAT('x', seq % 50)) FROM seq_1_to_200000")
    .stream();
  const [got, expected] = [crypto.createHash('sha256'), crypto.createHash('sha256')];
  let count = 0;
  for await (const [number, text] of stream) {
    count += 1;
    got.update(`${number}:${text}\n`);
    expected.update(`${count}:row ${count}${'x'.repeat(count % 50)}\n`);
  }
  assert.equal(count, 200000, 'rows of a big result');
  assert.equal(got.digest('hex'), expected.digest('hex'), 'checksum of a big result');
}

async function transactions(db) {
  await rows(db, 'CREATE OR REPLACE TABLE mysql2_t (i INT PRIMARY KEY)');
  for (const [end, expected] of [['rollback', 0], ['commit', 1]]) {
    await db.beginTransaction();
    await db.execute('INSERT INTO mysql2_t VALUES (?)', [1]);
    await db[end]();
    assert.deepEqual(await rows(db, 'SELECT COUNT(*) FROM mysql2_t'), [[String(expected)]], end);
  }
}

async function severalStatements() {
  const db = await connect({ multipleStatements: true });
  const [one, nothing, three] = await rows(db, 'SELECT 1; DO 0; SELECT 3');
  assert.deepEqual([one, nothing.affectedRows, three], [[[1]], 0, [[3]]]);
  await db.end();
}

async function loadData(db) {
  await rows(db, 'TRUNCATE mysql2_t');
  const lines = Array.from({ length: 1000 }, (_, i) => Buffer.from(`${i + 1}\n`));
  await rows(db, {
    sql: "LOAD DATA LOCAL INFILE 'numbers' INTO TABLE mysql2_t",
    infileStreamFactory: () => Readable.from(lines),
  });
  assert.deepEqual(await rows(db, 'SELECT COUNT(*), CAST(SUM(i) AS CHAR) FROM mysql2_t'), [['1000', '500500']]);
  await rows(db, 'DROP TABLE mysql2_t');
}

async function naps() {
  const db = await connect();
  await rows(db, "SET sql_mode='ANSI_QUOTES,STRICT_ALL_TABLES', time_zone='+03:00'");
  await rows(db, 'SET NAMES utf8mb4 COLLATE utf8mb4_german2_ci');
  await rows(db, `USE ${SCHEMA_2}`);
  const statement = await db.prepare(
    'SELECT ?, @@sql_mode, @@time_zone, @@character_set_client, @@collation_connection, DATABASE()',
  );
  for (const kind of ['none', 'suspend', 'park', 'kill']) {
    if (kind !== 'none') nap(kind);
    const [got] = await statement.execute([kind]);
    assert.deepEqual(got, [
      [kind, 'ANSI_QUOTES,STRICT_ALL_TABLES', '+03:00', 'utf8mb4', 'utf8mb4_german2_ci', SCHEMA_2],
    ], `settings after ${kind}`);
  }
  await statement.close();
  await db.end();
}

async function napInTransaction() {
  const db = await connect();
  await rows(db, 'CREATE TEMPORARY TABLE t (i INT) ENGINE=InnoDB');
  await rows(db, 'SET @v = 5');
  await db.beginTransaction();
  await rows(db, 'INSERT INTO t VALUES (1)');
  nap('suspend');
  assert.deepEqual(await rows(db, 'SELECT COUNT(*), CAST(@v AS CHAR) FROM t'), [['1', '5']]);
  await db.rollback();
  assert.deepEqual(await rows(db, 'SELECT COUNT(*) FROM t'), [['0']]);
  await db.end();
}

async function main() {
  const db = await connect();
  await simple(db);
  await prepared(db);
  await bigResult(db);
  await transactions(db);
  await severalStatements();
  await loadData(db);
  await db.end();
  await naps();
  await napInTransaction();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
