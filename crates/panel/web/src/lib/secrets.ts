// Secrets for one-time codes.

const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

/** 160 bits, which 32 base32 characters hold exactly. */
export function newSecret(): string {
  // 256 is a multiple of 32, so the lower five bits of a random byte are even.
  return [...crypto.getRandomValues(new Uint8Array(32))].map((byte) => BASE32[byte & 31]).join('');
}

/** For people: nothing that is read one way and typed another. */
export function newPassword(): string {
  const letters = 'abcdefghijkmnpqrstuvwxyz23456789';
  const text = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => letters[byte & 31]).join('');
  return text.match(/.{4}/g)?.join('-') ?? text;
}

/** Why the server would refuse a secret, or nothing. */
export function wrongSecret(secret: string): string {
  if (!/^[A-Z2-7]*$/.test(secret)) return 'Only the letters A–Z and the digits 2–7.';
  if (secret.length % 8 !== 0) return `The length must be a multiple of 8; this is ${secret.length}.`;
  return '';
}

/** Why the server would refuse a subscriber's id, or nothing. */
export function wrongSubscriberId(id: string): string {
  if (id.length < 4) return 'At least 4 characters.';
  if (/[\p{Cc}/|]/u.test(id) || /^\.+$/.test(id)) return 'No slash, no bar and no line break, and not dots alone.';
  return '';
}

/** What an authenticator app reads from the QR code. */
export function otpauth(stream: string, subscriber: string, secret: string, period: number): string {
  const label = `Sluice:${subscriber}@${stream}`;
  const query = new URLSearchParams({ secret, issuer: 'Sluice', algorithm: 'SHA1', digits: '6', period: String(period) });
  return `otpauth://totp/${encodeURIComponent(label)}?${query}`;
}
