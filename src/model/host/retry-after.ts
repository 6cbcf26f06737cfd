/** When to try again. */
export interface RetryLaterOptions {
  /**
   * To wait at least before the next attempt: milliseconds, or the `Date` before which not to try. What is no number, or
   * past, counts as 0; what is more than 24 hours away as 24 hours.
   */
  readonly afterMs?: number | Date | undefined;
}

const imfDate = /^[A-Z][a-z]{2}, (\d{2}) ([A-Z][a-z]{2}) (\d{4}) (\d{2}):(\d{2}):(\d{2}) GMT$/;
const rfc850Date = /^[A-Z][a-z]+, (\d{2})-([A-Z][a-z]{2})-(\d{2}) (\d{2}):(\d{2}):(\d{2}) GMT$/;
const asctimeDate = /^[A-Z][a-z]{2} ([A-Z][a-z]{2}) ([ \d]\d) (\d{2}):(\d{2}):(\d{2}) (\d{4})$/;
const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/**
 * Reads an HTTP `Retry-After` header, seconds or a date in any of HTTP's forms, as options of {@link retryLater}. Without
 * one, or with one that cannot be read, there are none, and the usual delay applies.
 *
 * @example throw retryLater(response.status, retryAfter(response.headers.get("retry-after")));
 * @see https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
 */
export function retryAfter(header: string | null | undefined): RetryLaterOptions {
  const value = typeof header === "string" ? header.trim() : "";
  if (/^\d+(\.\d+)?$/.test(value)) return { afterMs: Number(value) * 1_000 };
  const at = httpDate(value);
  return at === undefined ? {} : { afterMs: at };
}

function httpDate(value: string): Date | undefined {
  const [, day, month, year, ...time] = imfDate.exec(value) ?? rfc850Date.exec(value) ?? fromAsctime(value);
  const index = months.indexOf(month ?? "");
  if (day === undefined || year === undefined || index < 0) return undefined;
  const [hour = 0, minute = 0, second = 0] = time.map(Number);
  return new Date(Date.UTC(fullYear(year), index, Number(day), hour, minute, second));
}

// In the order of the other two forms.
function fromAsctime(value: string): readonly (string | undefined)[] {
  const [whole, month, day, hour, minute, second, year] = asctimeDate.exec(value) ?? [];
  return [whole, day, month, year, hour, minute, second];
}

// Two digits are of this century, but for those that were current when such dates were.
function fullYear(year: string): number {
  if (year.length === 4) return Number(year);
  return Number(year) + (Number(year) >= 70 ? 1_900 : 2_000);
}
