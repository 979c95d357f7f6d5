export { connectDatabase, Database, type DatabaseConfig, migrate, readDatabaseConfig } from "./database.ts";
