/** How all flows do together. Every number is exact at the time of the call. */
export interface Overview {
  readonly flows: { readonly enabled: number; readonly disabled: number };
  /** Those that are being canceled are in neither. */
  readonly runs: { readonly running: number; readonly queued: number };
  /** Enabled flows whose last run failed, apart from sample and retry runs. */
  readonly failing: number;
  /** Enabled flows of which two due times have passed since a run started. */
  readonly overdue: number;
  /** Imports of enabled flows that are paused. */
  readonly paused: number;
  /** After an upgrade from a version that did not count them, they are added as they are read. */
  readonly openFailures: number;
  /** Pages that wait in inboxes. */
  readonly inboxPages: number;
  /** Since when the run waits that has waited longest of those that have not begun and need not wait. Absent: none does. */
  readonly oldestQueuedAt?: string;
}
