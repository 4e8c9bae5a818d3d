// Numbers, times and names in words.

const number = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });
const tenths = new Intl.NumberFormat('en', { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const moment = new Intl.DateTimeFormat('en-GB', {
  year: 'numeric', month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit', second: '2-digit',
});

export const count = (value: number) => whole.format(value);

/** Where the last page of a list begins. */
export const lastPage = (total: number, size: number) => Math.max(0, Math.ceil(total / size) - 1) * size;

/** Bits per second. */
export function bitRate(bits: number | null): string {
  if (bits === null) return '–';
  if (bits >= 999_500) return `${tenths.format(bits / 1e6)} Mbit/s`;
  return `${whole.format(bits / 1e3)} kbit/s`;
}

export function bytes(value: number): string {
  const units = ['B', 'KB', 'MB', 'GB', 'TB', 'PB'];
  let [left, unit] = [value, 0];
  while (left >= 1000 && unit < units.length - 1) [left, unit] = [left / 1000, unit + 1];
  return `${number.format(left)} ${units[unit]}`;
}

/** The two largest units of a time in milliseconds, such as `2 h 05 min`. */
export function duration(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const [days, hours, minutes] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
  const two = (value: number) => String(value).padStart(2, '0');
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${two(minutes)} min`;
  if (minutes) return `${minutes} min ${two(seconds % 60)} s`;
  return `${seconds} s`;
}

/** A short time in milliseconds, such as `120 ms` or `2.4 s`. */
export const delay = (ms: number) => (ms < 1000 ? `${whole.format(ms)} ms` : ms < 60_000 ? `${tenths.format(ms / 1000)} s` : duration(ms));

export const time = (ms: number) => moment.format(ms);

const PROTOCOLS: Record<string, string> = { rtmp: 'RTMP', rtmps: 'RTMPS', whip: 'WHIP', whep: 'WHEP', webrtc: 'WebRTC', hls: 'HLS' };
export const protocol = (name: string | null) => (name ? (PROTOCOLS[name.toLowerCase()] ?? name) : '–');

const CODECS: Record<string, string> = { h264: 'H.264', h265: 'H.265', hevc: 'H.265', vp8: 'VP8', vp9: 'VP9', av1: 'AV1', aac: 'AAC', opus: 'Opus' };
export const codec = (name: string) => CODECS[name.toLowerCase()] ?? name;

const ROLES = { ADMIN: 'Administrator', USER: 'Operator', READ_ONLY: 'Read only' };
export const role = (name: keyof typeof ROLES) => ROLES[name];
