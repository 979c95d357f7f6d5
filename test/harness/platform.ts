import { type Platform, type PlatformOptions, startPlatform } from "@millrace/local";
import { TestPostgres } from "./postgres.ts";
import { TemporaryFolder } from "./temporaryFolder.ts";

/**
 * A local system of the test's own, in a folder of its own: NATS, a database, and the services (default: all six), each in its own
 * process, on free ports. `platform.supervisor.service(name).crash()` kills one and waits until it is back.
 */
export class TestPlatform implements AsyncDisposable {
  readonly platform: Platform;
  readonly postgres: TestPostgres;
  readonly #stack: AsyncDisposableStack;

  private constructor(platform: Platform, postgres: TestPostgres, stack: AsyncDisposableStack) {
    this.platform = platform;
    this.postgres = postgres;
    this.#stack = stack;
  }

  static async start(options: Omit<PlatformOptions, "home" | "databaseUrl"> = {}): Promise<TestPlatform> {
    await using stack = new AsyncDisposableStack();
    const folder = stack.use(new TemporaryFolder());
    const postgres = stack.use(await TestPostgres.start());
    const platform = stack.use(
      await startPlatform({ ...options, home: folder.join("home"), databaseUrl: postgres.adminUrl }),
    );
    return new TestPlatform(platform, postgres, stack.move());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

export const startTestPlatform = (options?: Omit<PlatformOptions, "home" | "databaseUrl">): Promise<TestPlatform> =>
  TestPlatform.start(options);
