export {
  DATABASE_SERVICES,
  type DatabasePasswords,
  type DatabaseService,
  type DatabaseUrls,
  provisionDatabase,
  provisionNats,
  randomDatabasePasswords,
} from "./provision.ts";
