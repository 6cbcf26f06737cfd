import { apiPath } from "../api/client.ts";
import type { Delivery, InboxPage, ListedFlow, ShownRun } from "../api/documents.ts";
import { useResource } from "../api/resource.ts";
import { href } from "../browser/address.ts";
import { FlowField } from "../tables/flow-field.tsx";
import { Part } from "../frame/states.tsx";
import { Time } from "../parts/time.tsx";
import { Section } from "../frame/title.tsx";
import * as say from "../strings.ts";
import { type ComponentChildren, useState } from "../view.ts";

/** For a record that no failure is of: what else it can be, of one flow. */
export function WhyNot({ wanted }: { readonly wanted: string }) {
  const [flow, choose] = useState<ListedFlow | undefined>(undefined);
  return (
    <Section title={say.findWhy}>
      <FlowField label={say.findWhyFlow} choose={choose} />
      {flow !== undefined && <Reasons key={flow._id} flow={flow} wanted={wanted} />}
    </Section>
  );
}

interface ReasonsProps {
  readonly flow: ListedFlow;
  readonly wanted: string;
}

/** Newest runs, and oldest pages of the inbox, that are looked at. */
const runsLookedAt = 10;
const pagesLookedAt = 100;

function Reasons({ flow, wanted }: ReasonsProps) {
  const { _id } = flow;
  const inbox = useResource<readonly InboxPage[]>(apiPath(["flows", _id, "inbox"], { limit: String(pagesLookedAt) }));
  const deliveries = useResource<readonly Delivery[]>(apiPath(["flows", _id, "deliveries"]));
  const runs = useResource<readonly ShownRun[]>(apiPath(["runs"], { _flowId: _id, limit: String(runsLookedAt) }));
  return (
    <Part of={inbox}>
      {(pages) => (
        <Part of={deliveries}>
          {(rows) => (
            <Part of={runs}>
              {(newest) => (
                <ol class="reasons">
                  {reasonsOf(flow, pages, rows, newest, wanted).map((reason, index) => (
                    <li key={index}>{reason}</li>
                  ))}
                </ol>
              )}
            </Part>
          )}
        </Part>
      )}
    </Part>
  );
}

/** Where reading for an import goes on. */
function Standing({ delivery: { _importId, checkpoint } }: { readonly delivery: Delivery }) {
  return (
    <>
      {say.findStands(_importId)}
      {checkpoint === undefined ? say.flowFromStart : <code class="clip">{JSON.stringify(checkpoint)}</code>}
    </>
  );
}

function reasonsOf(
  flow: ListedFlow,
  pages: readonly InboxPage[],
  deliveries: readonly Delivery[],
  runs: readonly ShownRun[],
  wanted: string,
): readonly ComponentChildren[] {
  const isIn = pages.some(({ keys, records }) => keys.includes(wanted) || JSON.stringify(records).includes(wanted));
  const [last] = runs.filter(({ status }) => status === "completed" || status === "failed");
  const ignored = runs.reduce((sum, { numIgnore }) => sum + numIgnore, 0);
  const isStuck = last?.status === "failed";
  return [
    isIn ? say.findInInbox : pages.length > 0 && say.findInboxSome(pages.length),
    flow.disabled && say.findDisabled,
    runs.some(({ status }) => status === "running") && say.findRunning,
    last !== undefined && isStuck && <a href={href(["runs", last._id])}>{say.findLastFailed}</a>,
    ...deliveries.flatMap((delivery) => [
      delivery.paused !== undefined && `${say.findPaused(delivery._importId)} ${delivery.paused.reason.message}`,
      (isStuck || delivery.paused !== undefined) && <Standing delivery={delivery} />,
      delivery.behind && say.findBehind(delivery._importId),
    ]),
    flow.nextRunAt !== undefined && (
      <>
        {say.findNextDue} <Time at={flow.nextRunAt} />
      </>
    ),
    ignored > 0 && say.findFiltered(ignored),
    say.findDelivered,
  ].filter((reason) => reason !== false);
}
