import { createCipheriv, createDecipheriv, createHash, createHmac, randomBytes } from "node:crypto";

const algorithm = "aes-256-gcm";
const nonceLength = 12;
const tagLength = 16;

/**
 * Cursors of lists, encrypted: the storage's own count the documents of all tenants. A cursor can be used only by the
 * tenant that it was made for.
 */
export class Cursors {
  readonly #key: Buffer;

  /** `secret`: gives the same cursors in every process. Without one they are valid in this handler only. */
  constructor(secret: string | undefined) {
    this.#key = secret === undefined ? randomBytes(32) : createHash("sha256").update(`cursor ${secret}`).digest();
  }

  encrypt(after: string, tenant: string): string {
    // A nonce made of the content: equal positions give equal cursors, and no nonce is used for two contents.
    const nonce = createHmac("sha256", this.#key)
      .update(JSON.stringify([tenant, after]))
      .digest()
      .subarray(0, nonceLength);
    const cipher = createCipheriv(algorithm, this.#key, nonce).setAAD(Buffer.from(tenant));
    const text = Buffer.concat([cipher.update(after, "utf8"), cipher.final()]);
    return Buffer.concat([nonce, cipher.getAuthTag(), text]).toString("base64url");
  }

  /** Undefined if it was not made here, or for another tenant. */
  decrypt(cursor: string, tenant: string): string | undefined {
    const bytes = Buffer.from(cursor, "base64url");
    if (bytes.length < nonceLength + tagLength) return undefined;
    const decipher = createDecipheriv(algorithm, this.#key, bytes.subarray(0, nonceLength), {
      authTagLength: tagLength,
    });
    decipher.setAAD(Buffer.from(tenant)).setAuthTag(bytes.subarray(nonceLength, nonceLength + tagLength));
    try {
      return decipher.update(bytes.subarray(nonceLength + tagLength), undefined, "utf8") + decipher.final("utf8");
    } catch {
      return undefined;
    }
  }
}
