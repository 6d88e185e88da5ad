// Figures, sizes and times as people read them.

const WHOLE = new Intl.NumberFormat('en');
const COMPACT = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });
const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
const NONE = '–';

/** A count in full, or from a million on in short. */
export const count = (n) => (n == null ? NONE : n < 1e6 ? WHOLE.format(n) : COMPACT.format(n));

export function bytes(n) {
  if (n == null) return NONE;
  const power = n < 1 ? 0 : Math.min(Math.floor(Math.log2(n) / 10), UNITS.length - 1);
  const value = n / 1024 ** power;
  return `${value.toFixed(power && value < 100 ? 1 : 0)} ${UNITS[power]}`;
}

/** Something a second. */
export const rate = (n) => (n == null ? NONE : n >= 100 ? count(Math.round(n)) : String(Number(n.toFixed(1))));

/** A time of seconds as its two largest units. */
export function duration(seconds) {
  if (seconds == null || Number.isNaN(seconds)) return NONE;
  if (seconds < 1) return `${Number((seconds * 1000).toPrecision(3))} ms`;
  const parts = [['d', 86400], ['h', 3600], ['min', 60], ['s', 1]];
  let left = Math.round(seconds);
  const found = [];
  for (const [unit, size] of parts) {
    const n = Math.floor(left / size);
    left -= n * size;
    if (n) found.push(`${n} ${unit}`);
  }
  return found.slice(0, 2).join(' ') || '0 s';
}

/** How long ago a time of RFC 3339 was. */
export const ago = (time, now = Date.now()) => {
  const seconds = (now - Date.parse(time)) / 1000;
  return time && !Number.isNaN(seconds) ? duration(Math.max(0, seconds)) : NONE;
};

/** The time of day with milliseconds, and the date unless it is today. */
export function clock(time) {
  const at = new Date(time);
  if (Number.isNaN(at.getTime())) return time || NONE;
  const day = at.toDateString() === new Date().toDateString() ? '' : `${at.toLocaleDateString('sv')} `;
  return `${day}${at.toLocaleTimeString('sv')}.${String(at.getMilliseconds()).padStart(3, '0')}`;
}

export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;
