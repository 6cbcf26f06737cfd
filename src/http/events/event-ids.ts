import { type Cipher, createCipheriv, createDecipheriv, randomBytes } from "node:crypto";

const algorithm = "aes-128-ecb";

/**
 * Event ids that reveal nothing: a tenant that could read positions would know how many events others have. An id is
 * one encrypted block with the position, a check, and a number that makes each id a different one, so that not even
 * the same position can be recognized.
 */
export class EventIds {
  readonly #key = randomBytes(16);
  readonly #cipher: Cipher;
  readonly #block = Buffer.alloc(16);
  #made = 0;

  constructor() {
    this.#cipher = createCipheriv(algorithm, this.#key, null).setAutoPadding(false);
  }

  make(position: number): string {
    this.#block.writeUIntBE(position, 0, 6);
    this.#block.writeUIntBE(this.#made++ % 2 ** 48, 10, 6);
    return this.#cipher.update(this.#block).toString("base64url");
  }

  /** Undefined if the id was not made here. */
  positionOf(id: string): number | undefined {
    const block = Buffer.from(id, "base64url");
    if (block.length !== 16 || block.toString("base64url") !== id) return undefined;
    const decipher = createDecipheriv(algorithm, this.#key, null).setAutoPadding(false);
    const text = decipher.update(block);
    return text.readUInt32BE(6) === 0 ? text.readUIntBE(0, 6) : undefined;
  }
}
