import { type TracingChannel, tracingChannel } from "node:diagnostics_channel";
import type { Step, StepResult, Tracing } from "./tracing.ts";

/** What is published for each step. */
interface Message {
  readonly step: Step;
  result?: StepResult;
  error?: unknown;
}

const kinds: readonly Step["kind"][] = ["accept", "run", "read", "page", "write", "commit"];

/**
 * Publishes the steps of runs for agents that watch an application from outside: the channels `tracing:poundlock:{kind}`
 * with `:start`, `:end`, `:asyncStart`, `:asyncEnd` and `:error`. Messages are objects with `step`, then `result`, and
 * `error` if the step failed.
 *
 * @see https://nodejs.org/api/diagnostics_channel.html#tracingchannel-channels
 */
export function diagnosticsChannel(): Tracing {
  const channels = new Map(kinds.map((kind) => [kind, tracingChannel<Message>(`poundlock:${kind}`)]));
  return {
    around: (step, work) => {
      const channel = channels.get(step.kind);
      return channel === undefined || !isWatched(channel) ? work() : publish(channel, { step }, work);
    },
  };
}

function publish(
  { start, end, asyncStart, asyncEnd, error }: TracingChannel<Message>,
  message: Message,
  work: () => Promise<StepResult>,
): Promise<StepResult> {
  return start.runStores(message, () => {
    const ended = work().then((result) => {
      message.result = result;
      if (result.error !== undefined) {
        message.error = result.error;
        error.publish(message);
      }
      asyncStart.runStores(message, () => asyncEnd.publish(message));
      return result;
    });
    end.publish(message);
    return ended;
  });
}

// Node 20.19 has no `hasSubscribers` on all of them together in its types.
function isWatched({ start, end, asyncStart, asyncEnd, error }: TracingChannel<Message>): boolean {
  return [start, end, asyncStart, asyncEnd, error].some(({ hasSubscribers }) => hasSubscribers);
}
