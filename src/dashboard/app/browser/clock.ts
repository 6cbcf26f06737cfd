import { type ReadonlySignal, signal } from "../view.ts";

/** The only file of the page that reads the time or sets a timer. Epoch milliseconds. */
export const currentTime = (): number => Date.now();

const ticking = signal(currentTime());

/** The time, every five seconds: for what is shown relative to it. */
export const now: ReadonlySignal<number> = ticking;

setInterval(() => {
  if (!document.hidden) ticking.value = currentTime();
}, 5_000);

/** Calls once after a delay. Returns how to keep that from happening. */
export function after(delayMs: number, call: () => void): () => void {
  const timer = setTimeout(call, delayMs);
  return () => clearTimeout(timer);
}

/** Calls again and again. Returns how to stop. */
export function every(delayMs: number, call: () => void): () => void {
  const timer = setInterval(call, delayMs);
  return () => clearInterval(timer);
}

/** Resolves after a delay, sooner if the signal is aborted. */
export function delay(delayMs: number, until: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const stop = after(delayMs, resolve);
    const end = () => {
      stop();
      resolve();
    };
    until.addEventListener("abort", end, { once: true });
  });
}
