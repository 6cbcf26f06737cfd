import { arePermissionsKnown, isApiMissing } from "./api/permissions.ts";
import { address, isEmbedded } from "./browser/address.ts";
import { isSignInNeeded } from "./browser/session.ts";
import { settings } from "./browser/settings.ts";
import { Header } from "./frame/header.tsx";
import { Notices } from "./frame/notices.tsx";
import { Shortcuts } from "./frame/shortcuts.tsx";
import { Title } from "./frame/title.tsx";
import { FailureScreen } from "./screens/failure/failure.tsx";
import { FailuresScreen } from "./screens/failures/failures.tsx";
import { FindScreen } from "./screens/find.tsx";
import { FlowScreen } from "./screens/flow/flow.tsx";
import { FlowsScreen } from "./screens/flows.tsx";
import { OverviewScreen } from "./screens/overview/overview.tsx";
import { RunScreen } from "./screens/run.tsx";
import { RunsScreen } from "./screens/runs.tsx";
import { SignIn } from "./screens/sign-in.tsx";
import * as say from "./strings.ts";
import { useEffect, useRef } from "./view.ts";

/** The whole page: the screen that the address names, below the header. */
export function App() {
  const path = address.value.steps.join("/");
  useFocusOnNavigation(path);
  if (isSignInNeeded.value) return <SignIn />;
  return (
    <>
      {!isEmbedded.value && (
        <>
          <button type="button" class="skip" onClick={focusHeading}>
            {say.navSkip}
          </button>
          <Header />
        </>
      )}
      <main key={path}>{isApiMissing.value ? <ApiMissing /> : arePermissionsKnown.value && <Screen />}</main>
      <Notices />
      <Shortcuts />
    </>
  );
}

function Screen() {
  const [first, _id, ...rest] = address.value.steps;
  if (rest.length > 0) return <NoSuchPage />;
  switch (first) {
    case undefined:
      return <OverviewScreen />;
    case "flows":
      return _id === undefined ? <FlowsScreen /> : <FlowScreen _id={_id} />;
    case "runs":
      return _id === undefined ? <RunsScreen /> : <RunScreen _id={_id} />;
    case "failures":
      return _id === undefined ? <FailuresScreen /> : <FailureScreen _id={_id} />;
    case "find":
      return <FindScreen />;
    default:
      return <NoSuchPage />;
  }
}

function NoSuchPage() {
  return (
    <>
      <Title name={say.noSuchPage} />
      <p>{say.noSuchPageWhy}</p>
    </>
  );
}

function ApiMissing() {
  return (
    <>
      <Title name={settings.title} />
      <p class="refusal" role="alert">
        {say.apiMissing(settings.api)}
      </p>
    </>
  );
}

function useFocusOnNavigation(path: string): void {
  const before = useRef(path);
  useEffect(() => {
    if (before.current === path) return;
    before.current = path;
    scrollTo(0, 0);
    focusHeading();
  }, [path]);
}

function focusHeading(): void {
  document.querySelector<HTMLElement>("h1")?.focus();
}
