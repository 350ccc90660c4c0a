// Pools of node: mysql2 and Sequelize. Says "ready", then checks until its stdin ends.
const { createRequire } = require('node:module');
const load = createRequire(process.env.NODE_HOME + '/package.json');
const { HOST, PORT, USER_NAME, PASSWORD } = process.env;
const server = { host: HOST, port: Number(PORT), user: USER_NAME, password: PASSWORD, database: 'd' };

const kinds = {
  // the usual check of a pool's connection
  async mysql2() {
    const pool = load('mysql2/promise').createPool({ ...server, connectionLimit: 2 });
    await pool.query('SELECT i FROM t');
    return async () => {
      const connection = await pool.getConnection();
      await connection.ping();
      connection.release();
    };
  },
  async 'mysql2-query'() {
    const pool = load('mysql2/promise').createPool({ ...server, connectionLimit: 2 });
    await pool.query('SELECT i FROM t');
    return () => pool.query('SELECT 1');
  },
  // prepared by the server
  async 'mysql2-execute'() {
    const pool = load('mysql2/promise').createPool({ ...server, connectionLimit: 2 });
    await pool.query('SELECT i FROM t');
    return () => pool.execute('SELECT 1');
  },
  async sequelize() {
    const { Sequelize } = load('sequelize');
    const sequelize = new Sequelize('d', USER_NAME, PASSWORD, { host: HOST, port: PORT, dialect: 'mysql', logging: false,
      pool: { min: 1, max: 2 } });
    await sequelize.query('SELECT i FROM t');
    return () => sequelize.authenticate();
  },
};

let over = false;
process.stdin.on('data', () => { over = true; });
(async () => {
  const check = await kinds[process.argv[2]]();
  console.log('ready');
  let checks = 0;
  while (!over) {
    await check();
    checks += 1;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  console.log('checks ' + checks);
  process.exit(0);
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
