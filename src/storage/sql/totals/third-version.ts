import type { Dialect } from "../database.ts";

/** Causes of failures and how many are open of each: what was stored before is counted later, in portions. */
export function causesOfFailures({ ranged, text }: Dialect): readonly string[] {
  const keys = ranged("record_key");
  return [
    `alter table poundlock_failures add column cause ${text}`,
    `create index poundlock_failures_of_cause on poundlock_failures (cause, seq)`,
    `create index poundlock_failures_uncounted on poundlock_failures (seq) where cause is null`,
    ...(keys === undefined ? [] : [`create index poundlock_failures_by_key on poundlock_failures (${keys})`]),

    `create table poundlock_causes (
      flow_id ${text} not null,
      import_id ${text} not null,
      integration_id ${text} not null,
      cause ${text} not null,
      pattern ${text} not null,
      fault ${text} not null,
      code ${text},
      size bigint not null,
      first_at bigint not null,
      last_at bigint not null,
      sample ${text} not null,
      primary key (flow_id, import_id, integration_id, cause))`,
    `create index poundlock_causes_by_cause on poundlock_causes (cause, flow_id)`,
    `create index poundlock_causes_of_integration on poundlock_causes (integration_id, cause)`,
  ];
}
