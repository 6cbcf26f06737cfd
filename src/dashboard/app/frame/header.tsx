import { caller, tenant } from "../api/permissions.ts";
import { liveState, offlineSince } from "../api/live.ts";
import { address, href, hrefWith, navigate } from "../browser/address.ts";
import { signOut, token } from "../browser/session.ts";
import { settings } from "../browser/settings.ts";
import { browserZone, clockOf, flowZone, zone } from "../format/times.ts";
import * as say from "../strings.ts";
import { Icon } from "./icons.tsx";

const screens = [
  ["", say.navOverview],
  ["flows", say.navFlows],
  ["runs", say.navRuns],
  ["failures", say.navFailures],
  ["find", say.navFind],
] as const;

/** What stands above every screen. */
export function Header() {
  const [first = ""] = address.value.steps;
  return (
    <header>
      <div class="bar">
        <a class="brand" href={href([])}>
          <Icon name="lock" />
          {settings.title}
        </a>
        <nav aria-label={say.navMain}>
          {screens.map(([step, name]) => (
            <a
              key={step}
              href={href(step === "" ? [] : [step])}
              aria-current={first === step ? "page" : undefined}
              class={step === "find" ? "nav-find" : undefined}
            >
              {name}
            </a>
          ))}
        </nav>
        <FindField />
        <div class="bar-end">
          <ZoneChoice />
          <LiveState />
          <SignedIn />
          {token.value !== undefined && (
            <button type="button" class="bare" onClick={signOut}>
              {say.navSignOut}
            </button>
          )}
        </div>
      </div>
    </header>
  );
}

function FindField() {
  return (
    <form
      class="find-field"
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        const key = new FormData(event.currentTarget).get("key");
        if (typeof key !== "string" || key.trim() === "") return;
        event.currentTarget.reset();
        navigate(href(["find"], { key: key.trim() }));
      }}
    >
      <Icon name="search" />
      <input
        type="search"
        id="find"
        name="key"
        placeholder={say.navFindHint}
        aria-label={say.navFindLabel}
        autocomplete="off"
      />
      <kbd aria-hidden="true">/</kbd>
    </form>
  );
}

/** Who is signed in, and whose flows are shown if not all. */
function SignedIn() {
  const names = [...new Set([caller.value, tenant.value])].filter((name) => name !== undefined);
  if (names.length === 0) return null;
  return (
    <span class="tenant" title={say.navSignedIn}>
      {names.join(" · ")}
    </span>
  );
}

function ZoneChoice() {
  const zones = [...new Set([browserZone, "UTC", flowZone.value ?? "UTC", zone.value])];
  return (
    <select
      class="zone"
      aria-label={say.navZone}
      title={say.navZone}
      value={zone.value}
      onChange={({ currentTarget: { value } }) => {
        const { after } = Object.fromEntries(address.value.query);
        navigate(hrefWith({ zone: value === browserZone ? "" : value, after }), "replace");
      }}
    >
      {zones.map((name) => (
        <option key={name} value={name}>
          {name === flowZone.value ? say.navFlowZone(name) : name}
        </option>
      ))}
    </select>
  );
}

function LiveState() {
  const [state, since] = [liveState.value, offlineSince.value];
  const words =
    state === "offline" && since !== undefined
      ? say.live.offlineSince(clockOf(new Date(since).toISOString()))
      : say.live[state];
  return (
    <span class={`live live-${state}`} role="status">
      {words}
    </span>
  );
}
