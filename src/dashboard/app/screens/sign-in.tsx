import { isTokenRefused, signIn } from "../browser/session.ts";
import { settings } from "../browser/settings.ts";
import { Icon } from "../frame/icons.tsx";
import * as say from "../strings.ts";
import { useEffect, useState } from "../view.ts";

/** Asks for a token, or says that the browser has to bring something by itself. */
export function SignIn() {
  useEffect(() => {
    document.title = say.signInTitle(settings.title);
  }, []);
  return (
    <main class="sign-in">
      <p class="brand">
        <Icon name="lock" />
        {settings.title}
      </p>
      <h1>{say.signInTitle(settings.title)}</h1>
      {settings.signIn === "token" ? <TokenForm /> : <BySite />}
    </main>
  );
}

function TokenForm() {
  const [given, setGiven] = useState("");
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        if (given.trim() !== "") signIn(given.trim());
      }}
    >
      <label>
        <span>{say.signInToken}</span>
        <input
          type="password"
          autocomplete="off"
          value={given}
          aria-describedby="token-hint"
          onInput={({ currentTarget }) => setGiven(currentTarget.value)}
        />
      </label>
      {isTokenRefused.value && (
        <p class="refusal" role="alert">
          {say.signInRefused}
        </p>
      )}
      <p id="token-hint" class="muted">
        {say.signInHint}
      </p>
      <button type="submit" class="main">
        {say.signInSubmit}
      </button>
    </form>
  );
}

function BySite() {
  return (
    <>
      <p>{say.signInBySite}</p>
      <button type="button" class="main" onClick={() => location.reload()}>
        {say.signInReload}
      </button>
    </>
  );
}
