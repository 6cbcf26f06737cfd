import type { Reply, SeenRequest } from "./server.ts";

/** A token server with refresh tokens that are valid once: one that comes again revokes everything. */
export class TokenServer {
  requests = 0;
  isRevoked = false;
  /** Seconds that an access token is valid. */
  expiresIn: number | undefined = 3_600;
  rotates = true;
  #refreshToken = "refresh-0";
  #accessToken: string | undefined;

  /** Of the API: is this token good? */
  accepts(authorization: string | undefined): boolean {
    return this.#accessToken !== undefined && !this.isRevoked && authorization === `Bearer ${this.#accessToken}`;
  }

  respond = ({ body, headers }: SeenRequest): Reply => {
    this.requests++;
    const form = new URLSearchParams(body);
    const [id = "", secret = ""] = credentialsOf(headers.authorization, form);
    if (id !== "poundlock" || secret !== "cl1ent-s3cret")
      return refusal(401, "invalid_client", `no client with ${secret}`);
    if (form.get("grant_type") === "client_credentials") return this.#give();
    if (this.isRevoked) return refusal(400, "invalid_grant", "revoked");
    if (form.get("refresh_token") !== this.#refreshToken) {
      this.isRevoked = true;
      return refusal(400, "invalid_grant", `${form.get("refresh_token") ?? ""} was used before`);
    }
    if (this.rotates) this.#refreshToken = `refresh-${this.requests}`;
    return this.#give(this.rotates ? { refresh_token: this.#refreshToken } : {});
  };

  #give(more: object = {}): Reply {
    this.#accessToken = `access-${this.requests}`;
    return { body: { access_token: this.#accessToken, token_type: "Bearer", expires_in: this.expiresIn, ...more } };
  }
}

function credentialsOf(authorization: string | undefined, form: URLSearchParams): readonly string[] {
  if (authorization === undefined) return [form.get("client_id") ?? "", form.get("client_secret") ?? ""];
  return Buffer.from(authorization.slice(6), "base64").toString().split(":").map(decodeURIComponent);
}

function refusal(status: number, error: string, description: string): Reply {
  return { status, body: { error, error_description: description } };
}
