// Prisma: its client with the driver mariadb, and the statements of 'prisma migrate deploy'.
'use strict'
const fs = require('fs')
const path = require('path')
const { execFileSync, spawn } = require('child_process')

const work = process.cwd()
for (const name of ['schema.prisma', 'prisma.config.ts', 'migrations']) {
  fs.cpSync(path.join(__dirname, name), path.join(work, name), { recursive: true })
}
fs.symlinkSync(path.join(process.env.NODE_HOME, 'node_modules'), path.join(work, 'node_modules'))
const { HOST, PORT, USER_NAME, PASSWORD, SCHEMA } = process.env
const url = `mysql://${USER_NAME}:${PASSWORD}@${HOST}:${PORT}/${SCHEMA}`
const settings = {
  ...process.env, DATABASE_URL: url, PRISMA_HIDE_UPDATE_MESSAGE: '1', CHECKPOINT_DISABLE: '1', NO_COLOR: '1',
  PRISMA_HIDE_PREVIEW_FLAG_WARNINGS: '1', NODE_NO_WARNINGS: '1',
}

const say = (...what) => console.log(...what.map((w) => (typeof w === 'string' ? w : JSON.stringify(w))))
const nap = (...kinds) => execFileSync(process.env.NAP, kinds, { stdio: ['ignore', 'ignore', 'inherit'] })

// Runs a command of Prisma, interrupted all the while; resolves to its exit code and what it said.
function prisma(...command) {
  return new Promise((resolve) => {
    const child = spawn(process.env.DISTURB, [path.join(work, 'node_modules/.bin/prisma'), ...command], { env: settings, stdio: ['ignore', 'pipe', 'pipe'] })
    let text = ''
    child.stdout.on('data', (d) => (text += d))
    child.stderr.on('data', (d) => (text += d))
    child.on('close', (code) => {
      const lines = text.replaceAll(SCHEMA, 'SCHEMA').replaceAll(PORT, 'PORT').replaceAll(USER_NAME, 'USER')
        .replace(/ in \d+(\.\d+)?m?s/g, '').split('\n')
        .filter((l) => l.trim() && !/Tip:|pris\.ly|Update available|Loaded Prisma config|config detected/.test(l))
      resolve({ code, text: lines.join('\n') })
    })
  })
}

async function told(...command) {
  const { code, text } = await prisma(...command)
  say(text)
  say(`prisma ${command.join(' ')}: exit code ${code}`)
}

async function outcome(call) {
  try {
    return await call()
  } catch (error) {
    return `${error.code || error.name}`
  }
}

const TABLE = `CREATE TABLE _prisma_migrations (
    id                      VARCHAR(36) PRIMARY KEY NOT NULL,
    checksum                VARCHAR(64) NOT NULL,
    finished_at             DATETIME(3),
    migration_name          VARCHAR(255) NOT NULL,
    logs                    TEXT,
    rolled_back_at          DATETIME(3),
    started_at              DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
    applied_steps_count     INTEGER UNSIGNED NOT NULL DEFAULT 0
) COLLATE utf8mb4_unicode_ci;`

// 'prisma migrate deploy' by its statements, since its engine is a program that would have to be fetched:
// a lock, the table of migrations, each script as one text of several statements.
async function deploy(interrupt) {
  const mariadb = require(path.join(work, 'node_modules/mariadb'))
  const session = await mariadb.createConnection({ host: HOST, port: Number(PORT), user: USER_NAME, password: PASSWORD, database: SCHEMA, multipleStatements: true })
  const [lock] = await session.query({ sql: "SELECT GET_LOCK('prisma_migrate', 10)", rowsAsArray: true })
  if (Number(lock[0]) !== 1) throw new Error('no lock')
  const known = await session.execute('SELECT table_name FROM information_schema.tables WHERE table_schema = ? AND table_name = ?', [SCHEMA, '_prisma_migrations'])
  if (!known.length) await session.query(TABLE)
  const done = (await session.query('SELECT migration_name FROM `_prisma_migrations` WHERE rolled_back_at IS NULL ORDER BY `started_at` ASC')).map((r) => r.migration_name)
  let applied = 0
  for (const name of fs.readdirSync(path.join(work, 'migrations')).sort()) {
    if (done.includes(name)) continue
    interrupt()
    await session.execute('INSERT INTO `_prisma_migrations` (`id`, `checksum`, `started_at`, `migration_name`) VALUES (?, ?, ?, ?)', [name, 'c'.repeat(64), new Date(0), name])
    try {
      await session.query(fs.readFileSync(path.join(work, 'migrations', name, 'migration.sql'), 'utf8'))
      interrupt()
      await session.execute('UPDATE `_prisma_migrations` SET `finished_at` = ?, `applied_steps_count` = `applied_steps_count` + 1 WHERE `id` = ?', [new Date(0), name])
      applied++
    } catch (error) {
      await session.execute('UPDATE `_prisma_migrations` SET `logs` = ? WHERE `id` = ?', [String(error.errno), name])
      break
    }
  }
  const log = await session.query('SELECT migration_name, finished_at IS NULL AS failed, logs, applied_steps_count FROM _prisma_migrations ORDER BY migration_name')
  await session.query("SELECT RELEASE_LOCK('prisma_migrate')")
  await session.end()
  return { applied, log: JSON.stringify(log, (_, v) => (typeof v === 'bigint' ? Number(v) : v)) }
}

async function migrate() {
  say('== migrations')
  nap('park')
  say('two at once')
  const both = await Promise.all([deploy(() => nap('steal')), deploy(() => nap('steal'))])
  say(both.reduce((sum, b) => sum + b.applied, 0), both[0].log === both[1].log, both[0].log)
  nap('park')
  fs.mkdirSync(path.join(work, 'migrations/3_wrong'))
  fs.writeFileSync(path.join(work, 'migrations/3_wrong/migration.sql'), 'CREATE TABLE `more` (i INT);\n\nSELECT * FROM `missing`;\n')
  say('a migration that fails:', await deploy(() => nap('steal', 'suspend')))
  await told('validate')
  const generated = await prisma('generate')
  say('generate:', generated.code)
  if (generated.code) say(generated.text)
}

async function client() {
  process.env.DATABASE_URL = url
  const { PrismaMariaDb } = require(path.join(work, 'node_modules/@prisma/adapter-mariadb'))
  const { PrismaClient, Prisma } = require(path.join(work, 'generated'))
  const adapter = () => new PrismaMariaDb({ host: HOST, port: Number(PORT), user: USER_NAME, password: PASSWORD, database: SCHEMA, connectionLimit: 4 })
  const db = new PrismaClient({ adapter: adapter() })
  const other = new PrismaClient({ adapter: adapter() })

  say('== rows and relations')
  for (const kind of ['steal', 'suspend', 'park', 'kill', 'steal']) {
    nap(kind)
    const user = await db.user.create({
      data: { name: `${kind} ${await db.user.count()}`, since: new Date('2024-02-29T01:02:03.456Z'), posts: { create: [{ title: 'a', score: '1.125' }, { title: 'b', data: Buffer.from([0, 255, 1]) }] } },
      include: { posts: true },
    })
    nap('steal')
    say(user, await db.user.findMany({ where: { posts: { some: { title: 'a' } } }, orderBy: { id: 'desc' }, take: 2, include: { _count: { select: { posts: true } } } }))
    say(await db.post.groupBy({ by: ['title'], _sum: { score: true }, _count: true, orderBy: { title: 'asc' } }))
    say(await db.user.upsert({ where: { name: 'upsert' }, create: { name: 'upsert', since: new Date(0) }, update: { coins: { increment: 5 } } }))
    say(await outcome(() => db.user.create({ data: { name: 'upsert' } })), await outcome(() => db.user.delete({ where: { id: 1e9 } })))
  }

  say('== transactions')
  for (const [kinds, fails] of [[['steal'], true], [['suspend'], true], [['steal', 'suspend', 'steal'], false]]) {
    say(await outcome(() => db.$transaction(async (tx) => {
      const user = await tx.user.update({ where: { id: 1 }, data: { coins: { decrement: 10 } } })
      nap(...kinds)
      await tx.user.create({ data: { name: `in ${kinds}`, since: new Date(0) } })
      say('others:', (await other.user.findUnique({ where: { id: 1 } })).coins)
      nap(...kinds)
      if (fails) await tx.user.create({ data: { name: 'upsert' } })
      return user.coins
    }, { isolationLevel: Prisma.TransactionIsolationLevel.Serializable, timeout: 60000, maxWait: 20000 })))
    nap('park')
    say((await db.user.findUnique({ where: { id: 1 } })).coins, await db.user.count({ where: { name: { startsWith: 'in' } } }))
  }
  say(await outcome(() => db.$transaction([db.user.create({ data: { name: 'batch', since: new Date(0) } }), db.user.create({ data: { name: 'batch' } })])), await db.user.count({ where: { name: 'batch' } }))

  say('== many at once')
  const turns = Array.from({ length: 40 }, (_, i) => db.$transaction(async (tx) => {
    await tx.$executeRaw`UPDATE User SET coins = coins - 1 WHERE id = ${1}`
    await tx.post.create({ data: { title: `turn ${i}`, by: 1 } })
  }, { timeout: 60000, maxWait: 60000 }))
  nap('steal')
  nap('steal')
  await Promise.all(turns)
  say((await db.user.findUnique({ where: { id: 1 } })).coins, await db.post.count({ where: { by: 1 } }))

  say('== raw')
  nap('park')
  say(await db.$queryRaw`SELECT ${'größe'} AS a, ${12} + 1 AS b, ${null} AS c, DATABASE() = ${SCHEMA} AS d`.then((r) => JSON.stringify(r, (_, v) => (typeof v === 'bigint' ? Number(v) : v))))
  say(await outcome(() => db.$queryRaw`SELECT * FROM missing`), await outcome(() => db.$executeRaw`UPDATE Post SET score = score + 1`))
  await db.$disconnect()
  await other.$disconnect()
}

migrate().then(client).then(() => process.exit(0), (error) => {
  console.error(error)
  process.exit(1)
})
