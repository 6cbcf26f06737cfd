/** Flows with schedules of every form, and when a build says that they are due. */
export const dueTimes = {
  _id: "orders",
  timezone: "Europe/Oslo",
  start: new Date("2030-03-29T22:17:31Z"),
  expressions: [
    ...["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@hourly", "@weekdays", "@weekends"],
    ...["* * * * *", "*/7 * * * *", "5-50/15 * * * *", "0,20,40 3 * * *", "30 2 * * *", "0 2-4 31 * *"],
    ...[
      "0 0 L * *",
      "0 0 L 2 *",
      "0 12 * * 5L",
      "0 12 * * MON#2",
      "0 12 * JAN,jul SUN-TUE",
      "0 0 13 * FRI",
      "0 0 * * 7",
    ],
    ...["15 30 4 * * *", "? 0 2 ? * *", "H H * * *", "H H(1-5) * * *", "H/20 * * * *", "0 H H H *", "0 0 29 2 *"],
  ],

  /** ISO 8601, one for each expression. */
  async of({ FlowRegistry }, { ManualClock, arrayExport, collectingImport }) {
    const registry = new FlowRegistry({
      exports: { orders: arrayExport([]) },
      imports: { ledger: collectingImport() },
      timezone: this.timezone,
      clock: new ManualClock(this.start.toISOString()),
    });
    const found = [];
    for (const schedule of this.expressions) {
      // Under one id, because that decides what `H` stands for.
      const flow = await registry.define(this._id, {
        name: "Orders",
        schedule,
        _exportId: "orders",
        _importId: "ledger",
      });
      found.push(flow.nextRunAt);
      await registry.delete(this._id);
    }
    return found;
  },
};
