export {
  type Action,
  type AuthorizeRequest,
  type Authorize,
  type AuthorizeResult,
  type FullAccess,
  type TenantScope,
  actions,
  allowAll,
  bearerToken,
} from "./authorization.ts";
export { type Handler, createHandler } from "./handler.ts";
export { type HandlerOptions } from "./options.ts";
export { type SignatureOptions, type Verify, hmacSignature } from "./signature.ts";
