/** Characters at the end of a key that its place is made of: keys of one export mostly differ there. */
const lastCharacters = 8;

/** Keys that a key is compared with, on average; beyond that their ends are too much alike. */
const mostCompared = 4;

/**
 * Whether a key is there twice. Linear, whatever the keys are. Keys that ascend, as numbers do, are only compared with the
 * one before; others get places by how they end; a set, which reads each key as a whole, is for what is left.
 */
export function haveRepeats(keys: readonly string[]): boolean {
  return !ascend(keys) && (repeatByPlaces(keys) ?? new Set(keys).size < keys.length);
}

// The shorter one first, as numbers are written.
function ascend(keys: readonly string[]): boolean {
  let before = "";
  for (const key of keys) {
    if (key.length < before.length || (key.length === before.length && key <= before)) return false;
    before = key;
  }
  return true;
}

// Undefined: too many of them end alike.
function repeatByPlaces(keys: readonly string[]): boolean | undefined {
  const places = new Uint32Array(2 ** Math.ceil(Math.log2(keys.length * 2)));
  const mask = places.length - 1;
  let left = keys.length * mostCompared;
  for (let index = 0; index < keys.length; index++) {
    const key = keys[index] ?? "";
    let place = placeOf(key) & mask;
    for (let other = places[place] ?? 0; other > 0; other = places[place] ?? 0) {
      if (keys[other - 1] === key) return true;
      if (--left < 0) return undefined;
      place = (place + 1) & mask;
    }
    places[place] = index + 1;
  }
  return false;
}

function placeOf(key: string): number {
  let hash = key.length;
  for (let index = Math.max(0, key.length - lastCharacters); index < key.length; index++)
    hash = (Math.imul(hash, 31) + key.charCodeAt(index)) | 0;
  return hash ^ (hash >>> 15);
}
