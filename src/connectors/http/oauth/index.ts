export {
  type ClientCredentialsOptions,
  type OAuthClient,
  type RefreshTokenOptions,
  clientCredentials,
  refreshToken,
} from "./oauth.ts";
export { type SqlTokensOptions, sqlTokens } from "./sql-tokens.ts";
export { tokenFile } from "./token-file.ts";
export type { TokenStore, Tokens } from "./token-store.ts";
