// TypeORM on mysql2: a pool of 50. Parameters of plain queries are inserted into the text; execute() uses
// prepared statements.
'use strict';

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const path = require('node:path');

const home = (name) => require(path.join(process.env.NODE_HOME, 'node_modules', name));
home('reflect-metadata');
const { DataSource, EntitySchema, In } = home('typeorm');

const { HOST, PORT, USER_NAME, PASSWORD, SCHEMA, NAP } = process.env;
const WORKERS = Number(process.env.WORKERS);
const ROUND = Number(process.env.ROUND) * 1000;
const IDLE = Number(process.env.IDLE) * 1000;
const ACCOUNTS = 200;
const OPENING = 1000;

const Account = new EntitySchema({
  name: 'Account',
  columns: { id: { type: Number, primary: true, generated: true }, balance: { type: Number } },
  relations: { sent: { type: 'one-to-many', target: 'Transfer', inverseSide: 'source' } },
});
const Transfer = new EntitySchema({
  name: 'Transfer',
  columns: {
    id: { type: Number, primary: true, generated: true },
    worker: { type: Number },
    turn: { type: Number },
    made: { type: 'datetime', createDate: true },
  },
  uniques: [{ columns: ['worker', 'turn'] }],
  relations: {
    source: { type: 'many-to-one', target: 'Account', inverseSide: 'sent', nullable: false },
    target: { type: 'many-to-one', target: 'Account', nullable: false },
    notes: { type: 'one-to-many', target: 'Note', inverseSide: 'transfer', cascade: true },
  },
});
const Note = new EntitySchema({
  name: 'Note',
  columns: { id: { type: Number, primary: true, generated: true }, body: { type: 'varchar', length: 100 } },
  relations: { transfer: { type: 'many-to-one', target: 'Transfer', inverseSide: 'notes' } },
});

class Tables1700000000000 {
  async up(runner) {
    await runner.query('CREATE TABLE account (id INT PRIMARY KEY AUTO_INCREMENT, balance INT NOT NULL)');
    await runner.query(`CREATE TABLE transfer (id INT PRIMARY KEY AUTO_INCREMENT, worker INT NOT NULL, turn INT NOT NULL,
      made DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6), sourceId INT NOT NULL REFERENCES account (id),
      targetId INT NOT NULL REFERENCES account (id), UNIQUE (worker, turn))`);
    await runner.query(`CREATE TABLE note (id INT PRIMARY KEY AUTO_INCREMENT, body VARCHAR(100) NOT NULL,
      transferId INT REFERENCES transfer (id))`);
  }
}

const source = new DataSource({
  type: 'mariadb',
  host: HOST,
  port: Number(PORT),
  username: USER_NAME,
  password: PASSWORD,
  database: SCHEMA,
  charset: 'utf8mb4_german2_ci',
  poolSize: WORKERS,
  extra: { idleTimeout: 24 * 3600 * 1000, maxIdle: WORKERS },
  entities: [Account, Transfer, Note],
  migrations: [Tables1700000000000],
});

const turns = new Array(WORKERS).fill(0);
const everyone = (job) => Promise.all(turns.map((_, worker) => job(worker)));
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** Runs the nap program with these arguments; returns whether it succeeded. */
function nap(...words) {
  return new Promise((done) => {
    spawn(NAP, words, { stdio: 'inherit' }).on('exit', (code) => done(code === 0));
  });
}

/** Two different accounts, the lower first: locking in this order avoids deadlocks. */
function choose(worker, turn) {
  const first = (worker * 7 + turn) % ACCOUNTS;
  const second = (first + 1 + (turn % (ACCOUNTS - 1))) % ACCOUNTS;
  return [Math.min(first, second) + 1, Math.max(first, second) + 1];
}

async function move(manager, worker, turn) {
  const [low, high] = choose(worker, turn);
  await manager.find(Account, { where: { id: In([low, high]) }, order: { id: 'ASC' }, lock: { mode: 'pessimistic_write' } });
  await manager.decrement(Account, { id: low }, 'balance', 1);
  await manager.increment(Account, { id: high }, 'balance', 1);
  await manager.save(Transfer, {
    worker, turn, source: { id: low }, target: { id: high }, notes: [{ body: `note 🐭 ${turn}` }],
  });
}

/** A prepared statement, with the driver below TypeORM. */
async function prepared(worker) {
  const runner = source.createQueryRunner();
  const connection = await runner.connect();
  try {
    return await new Promise((done, failed) => {
      const text = 'SELECT COUNT(*) AS n, MAX(turn) AS last, @@collation_connection AS c FROM transfer WHERE worker = ?';
      connection.execute(text, [worker], (error, rows) => (error ? failed(error) : done({ ...rows[0] })));
    });
  } finally {
    await runner.release();
  }
}

async function turn(worker) {
  const number = turns[worker];
  if (number % 4 === 0) {
    const undone = source.transaction('READ COMMITTED', async (manager) => {
      await move(manager, worker, number);
      throw new Error('undone');
    });
    await assert.rejects(undone, /^Error: undone$/);
    assert.equal(await source.getRepository(Transfer).countBy({ worker, turn: number }), 0);
  }
  await source.transaction(async (manager) => {
    await move(manager, worker, number);
    // a transaction in a transaction is a savepoint
    const undone = manager.transaction(async (inner) => {
      await inner.save(Note, { body: 'not kept' });
      throw new Error('undone');
    });
    await assert.rejects(undone, /^Error: undone$/);
  });
  turns[worker]++;
  const latest = await source.getRepository(Transfer).find({
    where: { worker }, order: { turn: 'DESC' }, take: 3, relations: { source: true, target: true, notes: true },
  });
  assert.deepEqual(
    latest.map((t) => [t.turn, t.source.id, t.target.id, t.notes.map((note) => note.body)]),
    [number, number - 1, number - 2].filter((n) => n >= 0).map((n) => [n, ...choose(worker, n), [`note 🐭 ${n}`]]),
  );
  assert.deepEqual(await prepared(worker), { n: String(number + 1), last: number, c: 'utf8mb4_german2_ci' });
}

async function work() {
  const until = (end) => everyone(async (worker) => {
    while (Date.now() < end) await turn(worker);
  });
  for (const kind of ['suspend', 'park', 'kill']) {
    const jolt = pause(ROUND / 2).then(() => nap('jolt'));
    await until(Date.now() + ROUND);
    assert.ok(await jolt, 'nap while working');
    assert.ok(await nap(kind), `nap ${kind}`);
  }
  // all workers wake the database at once
  await until(Date.now() + ROUND / 2);
}

async function check() {
  const all = turns.reduce((a, b) => a + b);
  assert.equal(await source.getRepository(Transfer).count(), all);
  assert.equal(await source.getRepository(Note).count(), all);
  const expected = new Map();
  for (let id = 1; id <= ACCOUNTS; id++) expected.set(id, OPENING);
  turns.forEach((count, worker) => {
    for (let n = 0; n < count; n++) {
      const [low, high] = choose(worker, n);
      expected.set(low, expected.get(low) - 1);
      expected.set(high, expected.get(high) + 1);
    }
  });
  const accounts = await source.getRepository(Account).find({ order: { id: 'ASC' } });
  assert.deepEqual(accounts.map((a) => [a.id, a.balance]), [...expected]);
}

/** Runs a function on every connection of the pool. */
async function withAll(job) {
  const runners = turns.map(() => source.createQueryRunner());
  try {
    const connections = await Promise.all(runners.map((runner) => runner.connect()));
    await Promise.all(connections.map(job));
  } finally {
    await Promise.all(runners.map((runner) => runner.release()));
  }
}

const promised = (connection, method) => new Promise((done, failed) => {
  connection[method]((error) => (error ? failed(error) : done()));
});

async function idle() {
  const habits = {
    validation: () => withAll((connection) => promised(connection, 'ping')),
    probe: () => everyone(async () => assert.deepEqual({ ...(await source.query('SELECT 1'))[0] }, { 1: 1 })),
    reconnect: async () => {
      await withAll(async (connection) => connection.destroy());
      await withAll((connection) => promised(connection, 'ping'));
      await everyone(() => source.query('SELECT 1'));
    },
  };
  const woken = [];
  for (const [what, job] of Object.entries(habits)) {
    assert.ok(await nap('park'), 'nap park');
    const end = Date.now() + (what === 'validation' ? IDLE : 0);
    await job();
    while (Date.now() < end) {
      await pause(1000);
      await job();
    }
    if (!(await nap('still', what))) woken.push(what);
  }
  return woken;
}

async function main() {
  await source.initialize();
  let opened = 0;
  source.driver.pool.on('connection', () => opened++);
  await source.runMigrations();
  await source.getRepository(Account).insert(Array.from({ length: ACCOUNTS }, () => ({ balance: OPENING })));
  await work();
  assert.ok(opened <= WORKERS, `${opened} connections were made`);
  await check();
  const woken = await idle();
  await everyone(turn);
  await check();
  await source.destroy();
  assert.deepEqual(woken, [], 'what woke the database');
  console.log(`${turns.reduce((a, b) => a + b)} transfers`);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
