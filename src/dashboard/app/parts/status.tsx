import type { Fault, RunStatus } from "../api/documents.ts";
import * as say from "../strings.ts";
import { Icon, type IconName } from "../frame/icons.tsx";

/** How something stands: a sign and a word, in a color. */
export function Badge({
  tone,
  icon,
  children,
}: {
  readonly tone: Tone;
  readonly icon?: IconName;
  readonly children: string;
}) {
  return (
    <span class={`badge ${tone}`}>
      {icon !== undefined && <Icon name={icon} />}
      {children}
    </span>
  );
}

/** What a color says. */
export type Tone = "good" | "bad" | "warn" | "busy" | "calm";

const runs: Readonly<Record<RunStatus, readonly [Tone, IconName]>> = {
  queued: ["calm", "queued"],
  running: ["busy", "running"],
  completed: ["good", "ok"],
  failed: ["bad", "failed"],
  canceling: ["calm", "canceled"],
  canceled: ["calm", "canceled"],
};

/** The status of a run. */
export function RunBadge({ status }: { readonly status: RunStatus }) {
  const [tone, icon] = runs[status];
  return (
    <Badge tone={tone} icon={icon}>
      {say.runStatus[status]}
    </Badge>
  );
}

const faultTones: Readonly<Record<Fault, Tone>> = { retry: "warn", reject: "bad", unknown: "warn" };

/** How the last attempt of a failure ended. */
export function FaultBadge({ fault }: { readonly fault: Fault }) {
  return <Badge tone={faultTones[fault]}>{fault}</Badge>;
}
