export { type Clock, systemClock } from "./clock.ts";
export { ConfigReader, type Environment, readConfig } from "./config.ts";
export { describeError, type ErrorCode, MillraceError, type MillraceErrorOptions, type Violation } from "./error.ts";
export { HealthServer, isReadinessMessage } from "./health.ts";
export { createLogger, type Logger, silentLogger } from "./logger.ts";
export { flushTelemetry, runService, type Service, type ServiceContext, type StartContext } from "./service.ts";
