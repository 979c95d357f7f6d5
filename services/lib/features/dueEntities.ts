interface Due {
  dueAtMs: number;
}

/** Entities by the time at which they are due; each is there once, at its earliest. One whose `dueAtMs` is set to Infinity is there no more. */
export class DueEntities<Entity extends Due> {
  readonly #byTime = new Map<number, Entity[]>();

  /** Adds an entity, or moves it to an earlier time. */
  add(entity: Entity, dueAtMs: number): void {
    if (dueAtMs >= entity.dueAtMs) return;
    entity.dueAtMs = dueAtMs;
    const others = this.#byTime.get(dueAtMs);
    if (others === undefined) this.#byTime.set(dueAtMs, [entity]);
    else others.push(entity);
  }

  /** Everything that is due, at whatever time. */
  all(): Entity[] {
    // An entity that was moved still stands at its old time, too.
    return [...this.#byTime].flatMap(([time, entities]) => entities.filter(({ dueAtMs }) => dueAtMs === time));
  }

  /** Takes out what is due at `untilMs` or before, earliest first. */
  take(untilMs: number): Entity[] {
    const times = [...this.#byTime.keys()].filter((time) => time <= untilMs).sort((left, right) => left - right);
    const taken: Entity[] = [];
    for (const time of times) {
      for (const entity of this.#byTime.get(time) ?? []) {
        if (entity.dueAtMs !== time) continue;
        entity.dueAtMs = Infinity;
        taken.push(entity);
      }
      this.#byTime.delete(time);
    }
    return taken;
  }
}
