// Without the program of an engine, which would have to be fetched.
import { PrismaMariaDb } from '@prisma/adapter-mariadb'
import { defineConfig } from 'prisma/config'

export default defineConfig({
  schema: 'schema.prisma',
  migrations: { path: 'migrations' },
  experimental: { adapter: true },
  engine: 'js',
  adapter: async () => new PrismaMariaDb(process.env.DATABASE_URL),
})
