const whole = new Intl.NumberFormat("en-GB");
const short = new Intl.NumberFormat("en-GB", { notation: "compact", maximumFractionDigits: 1 });

/** `1,234`: every digit. */
export const exact = (value: number): string => whole.format(value);

/** `1.2K`, for the axis of a chart, where the exact number is elsewhere. */
export const rounded = (value: number): string => short.format(value);

/** `1 run`, `2 runs`. */
export const counted = (value: number, one: string, several = `${one}s`): string =>
  `${exact(value)} ${value === 1 ? one : several}`;
