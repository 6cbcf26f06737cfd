import type { Events, ListenerError } from "../events.ts";

/** One event that was emitted. */
export interface RecordedEvent<Map, Name extends keyof Map = keyof Map> {
  readonly name: Name;
  readonly payload: Map[Name];
}

/** Keeps every event of the names given, in the order they were emitted. */
export class EventRecorder<Map extends { "listener:error": ListenerError }> {
  /** In the order they were emitted. */
  readonly all: RecordedEvent<Map>[] = [];

  constructor(source: Events<Map>, names: readonly (keyof Map & string)[]) {
    for (const name of names) source.on(name, (payload) => this.all.push({ name, payload }));
  }

  /** The names, in order. */
  get names(): readonly (keyof Map)[] {
    return this.all.map(({ name }) => name);
  }

  /** The payloads of one name, in order. */
  of<Name extends keyof Map>(name: Name): readonly Map[Name][] {
    return this.all
      .filter((event): event is RecordedEvent<Map, Name> => event.name === name)
      .map(({ payload }) => payload);
  }
}
