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
} from "./access/authorization.ts";
export { type Handler, createHandler } from "./handler.ts";
export { type HandlerOptions } from "./options.ts";
export { type Redact, type RedactInput, type RedactResult } from "./access/redaction.ts";
export { type SignatureOptions, type Verify, hmacSignature } from "./webhooks/signature.ts";
export {
  type Challenge,
  type SenderOptions,
  type VerifyOptions,
  type Webhook,
  type WebhookContent,
  type WebhookOptions,
  type WebhookSecret,
  type WebhookSender,
  webhook,
} from "./webhooks/webhook.ts";
