export {
  type Action,
  type Ask,
  type Authorize,
  type Permission,
  type Scope,
  actions,
  allowAll,
  bearerToken,
} from "./authorization.ts";
export { type Handler, type HandlerOptions, createHandler } from "./handler.ts";
export { toNodeListener } from "./node-listener.ts";
export { type SignatureOptions, type Verify, hmacSignature } from "./signature.ts";
