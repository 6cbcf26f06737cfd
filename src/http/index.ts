export {
  type Action,
  type AuthorizeRequest,
  type Authorize,
  type AuthorizeResult,
  type TenantScope,
  actions,
  allowAll,
  bearerToken,
} from "./authorization.ts";
export { type Handler, type HandlerOptions, createHandler } from "./handler.ts";
export { toNodeListener } from "./node-listener.ts";
export { type SignatureOptions, type Verify, hmacSignature } from "./signature.ts";
