// UTF-8 and base64url, without the globals that some test environments (jsdom in Jest) lack.

/** Returns text as UTF-8. */
export function encode(text: string): Uint8Array {
  const bytes: number[] = [];
  for (const letter of text) {
    let code = letter.codePointAt(0)!;
    if (code >= 0xd800 && code <= 0xdfff) code = 0xfffd; // half a pair has no bytes
    if (code < 0x80) bytes.push(code);
    else if (code < 0x800) bytes.push(0xc0 | (code >> 6), 0x80 | (code & 63));
    else if (code < 0x10000) bytes.push(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
    else bytes.push(0xf0 | (code >> 18), 0x80 | ((code >> 12) & 63), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
  }
  return Uint8Array.from(bytes);
}

/** How many bytes text takes. */
export function byteLength(text: string): number {
  let sum = 0;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) sum++;
    else if (unit < 0x800) sum += 2;
    else if (unit >= 0xd800 && unit <= 0xdbff && (text.charCodeAt(i + 1) & 0xfc00) === 0xdc00) {
      sum += 4;
      i++;
    } else sum += 3;
  }
  return sum;
}

/** Returns what decodes UTF-8 as it comes; a letter may be cut anywhere between two pieces. */
export function createDecoder(): { decode(bytes: Uint8Array): string } {
  let code = 0;
  let missing = 0; // bytes of the letter that is under way
  return {
    decode(bytes) {
      let text = "";
      for (const byte of bytes) {
        if (byte < 0x80) text += String.fromCharCode(byte);
        else if (byte >= 0xc0) {
          missing = byte >= 0xf0 ? 3 : byte >= 0xe0 ? 2 : 1;
          code = byte & (0x3f >> missing);
        } else {
          code = (code << 6) | (byte & 63);
          if (--missing === 0) text += String.fromCodePoint(code);
        }
      }
      return text;
    },
  };
}

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/** Returns text, as UTF-8, in base64url without padding. */
export function toBase64url(text: string): string {
  const bytes = encode(text);
  let out = "";
  for (let i = 0; i < bytes.length; i += 3) {
    const triple = (bytes[i]! << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    const letters = Math.min(4, bytes.length - i + 1);
    for (let j = 0; j < letters; j++) out += LETTERS[(triple >> (18 - 6 * j)) & 63];
  }
  return out;
}

/** Returns the text of toBase64url; undefined for what is none. */
export function fromBase64url(text: string): string | undefined {
  if (!/^[\w-]*$/.test(text) || text.length % 4 === 1) return undefined;
  const bytes: number[] = [];
  for (let i = 0; i < text.length; i += 4) {
    const group = [...text.slice(i, i + 4)].map((letter) => LETTERS.indexOf(letter));
    const triple = group.reduce((sum, value, j) => sum | (value << (18 - 6 * j)), 0);
    for (let j = 0; j < group.length - 1; j++) bytes.push((triple >> (16 - 8 * j)) & 255);
  }
  return createDecoder().decode(Uint8Array.from(bytes));
}
