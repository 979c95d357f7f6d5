import { monitoredWindowMs, watchApps } from "@millrace/app";
import type { Bus, KeyValueWatch } from "@millrace/bus";
import { describeError, type Logger } from "@millrace/runtime";
import { type ReportRules, reportRules } from "./labelReport.ts";
import { LabelRule } from "./labelRule.ts";
import { type RetrainingRules, retrainingRules } from "./retrainingPolicy.ts";
import { type ReviewRules, reviewRules } from "./reviewRules.ts";

/** What feedback needs of an app. */
export interface FollowedApp {
  readonly name: string;
  /** Of MULTICLASS: what labels are indexes of. */
  readonly classes: readonly string[];
  readonly label: LabelRule;
  /** Length of the windows in which labels are watched, as the monitor's. */
  readonly windowMs: number;
  readonly reports: ReportRules;
  /** Whether a share is held out of decisions. */
  readonly holdsOut: boolean;
  readonly review: ReviewRules | undefined;
  readonly retraining: RetrainingRules | undefined;
}

export interface AppsOptions {
  readonly logger: Logger;
  /** Called for each app and each change of it, once it is known here. */
  readonly onChange: (app: FollowedApp) => Promise<void>;
  readonly onFailure: (error: unknown) => void;
}

/** Every applied app. One whose new version cannot be followed keeps the old one. */
export class Apps implements AsyncDisposable {
  readonly #known = new Map<string, FollowedApp>();
  #watch: KeyValueWatch | undefined;

  /** Resolves once the apps applied so far are followed. */
  async follow(bus: Bus, { logger, onChange, onFailure }: AppsOptions): Promise<void> {
    this.#watch = await watchApps(
      bus,
      async ({ app, version }) => {
        if (app === undefined) return;
        let followed: FollowedApp;
        try {
          followed = {
            name: app.app,
            classes: app.model?.classes ?? [],
            label: new LabelRule(app),
            windowMs: monitoredWindowMs(app),
            reports: reportRules(app),
            holdsOut: (app.label?.holdOut ?? 0) > 0,
            review: reviewRules(app),
            retraining: retrainingRules(app),
          };
        } catch (error) {
          logger.error({ err: error, app: app.app, version }, `${app.app} is not followed: ${describeError(error)}`);
          return;
        }
        this.#known.set(app.app, followed);
        await onChange(followed);
        logger.info({ app: app.app, version }, `follows version ${version} of ${app.app}`);
      },
      { logger, onFailure },
    );
  }

  get all(): Iterable<FollowedApp> {
    return this.#known.values();
  }

  get(name: string): FollowedApp | undefined {
    return this.#known.get(name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#watch?.[Symbol.asyncDispose]();
  }
}
