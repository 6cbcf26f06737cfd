import { goLive } from "./api/live.ts";
import { loadPermissions } from "./api/permissions.ts";
import { App } from "./app.tsx";
import { followLinks } from "./browser/address.ts";
import { acceptTokenOfParent } from "./browser/session.ts";
import { render } from "./view.ts";

followLinks();
acceptTokenOfParent();
loadPermissions();
goLive();
const place = document.querySelector("#app");
if (place !== null) render(<App />, place);
