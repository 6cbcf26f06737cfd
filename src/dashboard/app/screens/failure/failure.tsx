import { apiPath, call } from "../../api/client.ts";
import type { Failure, Run } from "../../api/documents.ts";
import type { LiveEvent } from "../../api/live.ts";
import { can } from "../../api/permissions.ts";
import { type Resource, useResource } from "../../api/resource.ts";
import { href } from "../../browser/address.ts";
import { exact } from "../../format/numbers.ts";
import { Ask } from "../../parts/ask.tsx";
import { type Fact, Facts } from "../../parts/facts.tsx";
import { JsonView } from "../../parts/json.tsx";
import { FlowLink } from "../../frame/links.tsx";
import { notify, notifyError } from "../../frame/notices.tsx";
import { Part } from "../../frame/states.tsx";
import { Badge, FaultBadge } from "../../parts/status.tsx";
import { Time } from "../../parts/time.tsx";
import { Gone, Section, Title } from "../../frame/title.tsx";
import * as say from "../../strings.ts";
import { useState } from "../../view.ts";
import { EditRecord } from "./edit.tsx";

/** One record that was not delivered: why, and what can be done about it. */
export function FailureScreen({ _id }: { readonly _id: string }) {
  const [flowId, setFlowId] = useState<string | undefined>(undefined);
  const changes = ({ name, data }: LiveEvent) =>
    data.run?._flowId === flowId && /^run:(completed|failed|canceled)$/.test(name);
  const failure = useResource<Failure>(apiPath(["failures", _id]), changes);
  const value = failure.value.value;
  if (value !== undefined && flowId === undefined) setFlowId(value._flowId);
  const isGone = failure.error.value?.status === 404;
  if (isGone && value === undefined) return <Gone name={say.failureTitle} words={say.failureGone} />;
  return (
    <>
      <Title
        name={value?.key ?? say.failureTitle}
        actions={
          value !== undefined && !isGone && value.status === "open" ? (
            <Actions failure={value} resource={failure} />
          ) : null
        }
      >
        {value !== undefined && <Subtitle failure={value} />}
      </Title>
      {isGone ? (
        <p class="empty" role="status">
          {say.failureGone}
        </p>
      ) : (
        <Part of={failure}>{(shown) => <Body failure={shown} resource={failure} />}</Part>
      )}
    </>
  );
}

function Subtitle({ failure: { fault, status, _flowId, _importId } }: { readonly failure: Failure }) {
  return (
    <p class="subtitle">
      <FaultBadge fault={fault} />
      <Badge tone={status === "open" ? "bad" : "calm"}>{status}</Badge>
      <span>
        <FlowLink _id={_flowId} /> → {_importId}
      </span>
    </p>
  );
}

interface ShownFailure {
  readonly failure: Failure;
  readonly resource: Resource<Failure>;
}

function Actions({ failure, resource }: ShownFailure) {
  const resolve = async () => {
    await call("PUT", apiPath(["flows", failure._flowId, "failures", "resolved"]), { body: { _ids: [failure._id] } });
    notify(say.failureResolved);
    void resource.reload();
  };
  return (
    <>
      {can("failures.retry") && failure.unstorable !== true && (
        <button type="button" class="main" onClick={() => void retry(failure)}>
          {say.failureRetry}
        </button>
      )}
      {can("failures.resolve") && (
        <Ask
          label={say.failuresResolve}
          title={say.failureResolveTitle}
          confirm={say.failureResolveConfirm}
          isDangerous
          act={resolve}
        >
          <p>{say.failuresResolveWhy}</p>
        </Ask>
      )}
    </>
  );
}

/** Queues a retry run for one failure, and says so, or why it was refused. */
export async function retry({ _id, _flowId }: Failure): Promise<void> {
  try {
    const path = apiPath(["flows", _flowId, "failures", "retry"]);
    const { value } = await call<Run>("POST", path, { body: { _ids: [_id] } });
    notify(
      <>
        {say.failureRetried} <a href={href(["runs", value._id])}>{say.show}</a>
      </>,
    );
  } catch (error) {
    notifyError(error);
  }
}

function Body({ failure, resource }: ShownFailure) {
  return (
    <>
      <div class="box bad-box">
        <p class="message">
          {failure.code !== undefined && <code>{failure.code}</code>} {failure.message}
        </p>
        <p>{say.faults[failure.fault]}</p>
      </div>
      <Facts facts={factsOf(failure)} />
      <Section title={say.record}>
        {failure.unstorable === true ? (
          <p class="empty">{say.failureNoRecord}</p>
        ) : (
          <JsonView value={failure.record} name={failure.key} />
        )}
      </Section>
      {failure.original !== undefined && (
        <details>
          <summary>{say.failureOriginal}</summary>
          <JsonView value={failure.original} name={failure.key} />
        </details>
      )}
      {failure.status === "open" && failure.unstorable !== true && can("failures.edit") && (
        <EditRecord failure={failure} etag={resource.etag.value} reload={() => resource.reload()} />
      )}
    </>
  );
}

function factsOf(failure: Failure): readonly Fact[] {
  const {
    _runId,
    key,
    version,
    attempts,
    occurrences,
    createdAt,
    lastFailedAt,
    retryAt,
    editedAt,
    resolvedAt,
    resolvedBy,
  } = failure;
  const at = (time: string | undefined) => time !== undefined && <Time at={time} />;
  return [
    [say.failuresKey, <code key="key">{key}</code>],
    [say.failureVersion, version !== undefined && String(version)],
    [say.runTitle, _runId !== "" && <a href={href(["runs", _runId])}>{_runId}</a>],
    [say.failuresAttempts, exact(attempts)],
    [say.failureOccurrences, exact(occurrences)],
    [say.failureFirstFailed, at(createdAt)],
    [say.failureLastFailed, at(lastFailedAt)],
    [say.failureRetriesAt, failure.status === "open" && at(retryAt)],
    [say.failureEditedAt, at(editedAt)],
    [
      say.failureResolvedAt,
      resolvedAt !== undefined && resolvedBy !== undefined && (
        <>
          {at(resolvedAt)} {say.failureResolvedBy[resolvedBy]}
        </>
      ),
    ],
  ];
}
