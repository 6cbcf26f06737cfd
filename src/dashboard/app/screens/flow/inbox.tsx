import { apiPath, call } from "../../api/client.ts";
import type { InboxPage } from "../../api/documents.ts";
import type { LiveEvent } from "../../api/live.ts";
import { can } from "../../api/permissions.ts";
import { useResource } from "../../api/resource.ts";
import { exact } from "../../format/numbers.ts";
import { Ask } from "../../parts/ask.tsx";
import { notify } from "../../frame/notices.tsx";
import { Part } from "../../frame/states.tsx";
import { type Column, Table } from "../../tables/table.tsx";
import { Time } from "../../parts/time.tsx";
import { Section } from "../../frame/title.tsx";
import * as say from "../../strings.ts";

interface InboxProps {
  readonly _id: string;
  readonly changes: (event: LiveEvent) => boolean;
}

/** The pages that wait, oldest first. */
export function Inbox({ _id, changes }: InboxProps) {
  const path = apiPath(["flows", _id, "inbox"], { limit: "20", include: "_id,arrivedAt,keys,_importIds" });
  const inbox = useResource<readonly InboxPage[]>(path, changes);
  const drop = async (page: InboxPage) => {
    await call("POST", apiPath(["flows", _id, "inbox", "drop"]), { body: { _ids: [page._id] } });
    notify(say.flowDropped(page.keys.length));
    void inbox.reload();
  };
  return (
    <Section title={say.flowInbox}>
      <Part of={inbox} empty={(pages) => (pages.length === 0 ? say.flowInboxEmpty : undefined)}>
        {(pages) => (
          <>
            <Table label={say.flowInbox} columns={columnsOf(drop)} rows={pages} idOf={({ _id: id }) => id} />
            {inbox.next.value !== undefined && <p class="muted after">{say.flowInboxMore(pages.length)}</p>}
          </>
        )}
      </Part>
    </Section>
  );
}

function columnsOf(drop: (page: InboxPage) => Promise<void>): readonly Column<InboxPage>[] {
  return [
    { title: say.flowInboxPage, isName: true, cell: ({ arrivedAt }) => <Time at={arrivedAt} /> },
    { title: say.runImports, isNumber: true, cell: ({ keys }) => exact(keys.length) },
    {
      title: say.failuresKey,
      isMinor: true,
      cell: ({ keys }) => <code class="clip">{keys.slice(0, 5).join(", ")}</code>,
    },
    { title: say.flowInboxFor, cell: ({ _importIds }) => _importIds.join(", ") },
    {
      title: "",
      cell: (page) =>
        can("inbox.drop") && (
          <div class="row-actions">
            <Ask
              label={say.flowDrop}
              kind="quiet"
              title={say.flowDropTitle(page.keys.length)}
              confirm={say.flowDropConfirm(page.keys.length)}
              isDangerous
              act={() => drop(page)}
            >
              <p>{say.flowDropWhy}</p>
            </Ask>
          </div>
        ),
    },
  ];
}
