const paths = {
  ok: "M3 8.5 6.5 12 13 4.5",
  failed: "M4 4l8 8M12 4l-8 8",
  paused: "M5.5 3.5v9M10.5 3.5v9",
  overdue: "M8 3v6M8 12.2v.3",
  running: "M5 3.5v9l7-4.5z",
  queued: "M8 4v4l2.5 2M8 1.8a6.2 6.2 0 1 1 0 12.4A6.2 6.2 0 0 1 8 1.8z",
  canceled: "M4 8h8",
  search: "M7 2.5a4.5 4.5 0 1 1 0 9 4.5 4.5 0 0 1 0-9zM10.5 10.5 14 14",
  close: "M4.5 4.5l7 7M11.5 4.5l-7 7",
  next: "M6 3.5 10.5 8 6 12.5",
  lock: "M2 13V3l5 5-5 5zM14 13V3L9 8l5 5z",
} as const;

/** What an icon shows. */
export type IconName = keyof typeof paths;

/** A sign beside a word, never instead of one. */
export function Icon({ name }: { readonly name: IconName }) {
  return (
    <svg class={`icon icon-${name}`} viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
      <path d={paths[name]} />
    </svg>
  );
}
