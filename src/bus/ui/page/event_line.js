// Events as they come: one line of JSON each, read only when somebody looks at it.
//
//     {"id":"e_…","subject":"orders.created","payload":…,"created_at":"…","index":42, …}
//
// A browser's numbers are doubles, an event's needn't be. So what is copied, edited and published again is cut out of
// the line as it stands, and numbers are shown as they were written where the browser can tell.

import { callForHeaders, url } from './api.js';

/** A number that isn't the same as a double. */
export class LongNumber {
  constructor(text) { this.text = text; }
}

const keepNumbers = (_, value, context) =>
  typeof value === 'number' && context?.source !== undefined && String(value) !== context.source
    ? new LongNumber(context.source) : value;

/** JSON as values. Throws a SyntaxError. */
const parse = (text) => JSON.parse(text, keepNumbers);

export class EventLine {
  #event;

  constructor(line) { this.line = line; }

  get event() { return (this.#event ??= JSON.parse(this.line)); }

  get size() { return new Blob([this.payloadText]).size; }

  /** The payload as it was published. */
  get payloadText() {
    const from = this.line.indexOf(',"payload":') + ',"payload":'.length;
    return this.line.slice(from, endOfValue(this.line, from));
  }

  get payload() { return parse(this.payloadText); }

  /** The payload's beginning, for a row. */
  preview(most = 300) { return this.payloadText.slice(0, most); }
}

/** Where the JSON value that begins at *from* ends: at a comma or bracket that isn't its own. */
function endOfValue(text, from) {
  let depth = 0;
  for (let at = from; at < text.length; at++) {
    const c = text[at];
    if (c === '"') at = endOfString(text, at);
    else if (c === '{' || c === '[') depth++;
    else if ((c === '}' || c === ']') && depth-- === 0) return at;
    else if (c === ',' && depth === 0) return at;
  }
  return text.length;
}

function endOfString(text, from) {
  let at = from + 1;
  for (; at < text.length && text[at] !== '"'; at++) if (text[at] === '\\') at++;
  return at;
}

/** A page of `/v1/events`: its events as they stand in it, and where the next one begins. */
export function readPage(text) {
  const rows = [];
  let at = text.indexOf('[') + 1;
  while (text[at] === '{') {
    const end = endOfValue(text, at);
    rows.push(new EventLine(text.slice(at, end)));
    at = text[end] === ',' ? end + 1 : end;
  }
  return { rows, next: JSON.parse(`{"events":[${text.slice(at)}`).next };
}

/** The event of this id, as it is stored in the namespace of *subject*; without one, wherever it is. */
export async function readEvent(id, subject = '') {
  const [namespace] = subject.split('.');
  const { text } = await callForHeaders('GET', `/v1/events/${encodeURIComponent(id)}`, { query: { namespace } });
  return new EventLine(text);
}

// -- What the events view shows, as its address says it, and how rows are chosen by their content.
//
//     subject  a pattern            start  where a live tail begins       upto   from where on, back, one browses
//     filter   text in the event    key    of just this key               trace  of just this trace

const quoted = (name, value) => `,"${name}":${JSON.stringify(value)}`;

/** Whether a row has what *parameters* say, read from the line before anything is parsed. */
export function matcher({ filter = '', key, trace }) {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  const exact = [key && quoted('key', key), trace && quoted('trace_id', trace)].filter(Boolean);
  if (!words.length && !exact.length) return () => true;
  return (row) => {
    if (!exact.every((part) => row.line.includes(part))) return false;
    if (!words.length) return true;
    const line = row.line.toLowerCase();
    return words.every((word) => line.includes(word));
  };
}

// -- An event as a line of a shell or of Python that publishes the same again. Nothing in it can end its quotes.

const root = () => url('/').href;

/** What a publisher would say of it. */
function draftOf(row) {
  const { subject, key, trace_id, headers, ttl } = row.event;
  const fields = Object.entries({ key, trace_id, headers, ttl }).filter(([, value]) => value !== undefined);
  const rest = fields.map(([name, value]) => `,"${name}":${JSON.stringify(value)}`).join('');
  return `{"subject":${JSON.stringify(subject)},"payload":${row.payloadText}${rest}}`;
}

const quote = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

export const asCurl = (row) => `curl ${quote(root())} -H 'Content-Type: application/json' -d ${quote(draftOf(row))}`;

export function asCommand(row) {
  const { subject, key, trace_id, headers = {} } = row.event;
  const options = [
    ['--host', root()], ['--subject', subject], ['--data', row.payloadText], ['--key', key], ['--trace-id', trace_id],
    ...Object.entries(headers).map(([name, value]) => ['--header', `${name}=${value}`]),
  ];
  return `bus put ${options.filter(([, value]) => value).map(([name, value]) => `${name} ${quote(value)}`).join(' ')}`;
}

export function asPython(row) {
  const { key, trace_id, headers } = row.event;
  const options = Object.entries({ key, trace_id, headers }).filter(([, value]) => value !== undefined)
    .map(([name, value]) => `, ${name}=${python(JSON.stringify(value))}`).join('');
  return `import json
from bus import Client

with Client(${python(JSON.stringify(root()))}) as client:
    client.put(${python(JSON.stringify(row.event.subject))}, json.loads(${python(JSON.stringify(row.payloadText))})${options})
`;
}

/** JSON of strings is Python too, but for characters that aren't to stand in source. */
const python = (text) => text.replace(/[\u007f-\u009f\u2028\u2029]/g,
  (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
