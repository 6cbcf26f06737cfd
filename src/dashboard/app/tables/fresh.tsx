import { useEffect } from "../view.ts";
import { announce } from "../frame/notices.tsx";

interface FreshProps {
  readonly count: number;
  readonly words: (count: number) => string;
  readonly show: () => void;
}

/** Says that a list has grown, and shows what is new once that is wanted: rows do not move below the pointer. */
export function Fresh({ count, words, show }: FreshProps) {
  useEffect(() => {
    if (count > 0) announce(words(count));
  }, [count]);
  return (
    <button type="button" class={count === 0 ? "fresh none" : "fresh"} disabled={count === 0} onClick={show}>
      {count === 0 ? "" : words(count)}
    </button>
  );
}
