// Latest values: the newest event of each subject or key, what it was before, and what is different.

import { html, useEffect, useMemo, useState } from '../vendor/preact-htm.js';
import { call, callForHeaders, readAll } from '../api.js';
import { EventLine, LongNumber, readPage } from '../event_line.js';
import { ago, clock, count, plural } from '../format.js';
import { firstPattern, useStore } from '../store.js';
import { become } from '../router.js';
import { Empty, FilterInput, Form, Page, Panel, Problem, SubjectInput, Table, useAction, useLoaded } from '../parts/basics.js';
import { EventDetail } from '../parts/events.js';

const VERSIONS = 50;

export default function Latest({ parameters }) {
  const subject = parameters.subject || firstPattern(useStore());
  const { by = 'subject', filter = '' } = parameters;
  const [found, setFound] = useState({ rows: [], next: null });
  const [selected, select] = useState(null);
  const [looking, error, run] = useAction();
  const set = (changes) => become('latest', { ...parameters, subject, ...changes });
  const begin = () => { select(null); run(async () => setFound(await (by === 'key' ? byKey(subject) : bySubject(subject)))); };
  const more = () => run(async () => {
    if (by === 'key') { setFound(await byKey(subject, found.next, found.rows)); return; }
    const page = await bySubject(subject, found.next);
    setFound({ rows: [...found.rows, ...page.rows], next: page.next });
  });
  useEffect(() => { if (subject) begin(); }, [subject, by]);
  const rows = useMemo(() => found.rows.filter((one) => `${one.name} ${one.row?.line}`.toLowerCase().includes(filter.toLowerCase())), [found, filter]);
  return html`<${Page} title="Latest values" hint="The newest event of each subject or key." actions=${html`
      <div class="switch" role="group" aria-label="Of what">${['subject', 'key'].map((one) => html`
        <button type="button" key=${one} aria-pressed=${by === one} onClick=${() => set({ by: one })}>By ${one}</button>`)}</div>
      <button type="button" onClick=${begin}>Reload</button>`}>
    <${Form} kind="bar">
      <label class="wide">Subject<${SubjectInput} value=${subject} pattern change=${(value) => set({ subject: value })} /></label>
      <${FilterInput} hint="text in name or event" value=${filter} change=${(text) => set({ filter: text })} /><//>
    <p class="state" role="status"><span>${plural(rows.length, by)}</span>
      ${found.next && html`<button type="button" class="plain link" disabled=${looking} onClick=${more}>Load more</button>`}</p>
    <${Problem} error=${error} />
    <div class=${`split tall ${selected ? 'open' : ''}`}>
      <${Panel} flush>${rows.length ? html`<${Values} by=${by} rows=${rows} selected=${selected} select=${select} />`
        : html`<${Empty} title=${looking ? 'Looking …' : 'Nothing found'}>${by === 'key' ? 'No event here has a key.' : 'No subject matches.'}<//>`}<//>
      ${selected && html`<div class="side"><${Versions} key=${selected.name} one=${selected} close=${() => select(null)} /></div>`}
    </div><//>`;
}

const Values = ({ by, rows, selected, select }) => html`<${Table} head=${[[by === 'key' ? 'Key' : 'Subject'], ['Value'], ['Events', 'n'], ['Since']]}>
  ${rows.map((one) => html`<tr key=${one.name} aria-selected=${one === selected}>
    <td class="name"><button type="button" class="plain link break" disabled=${!one.row} onClick=${() => select(one)}>${one.name}</button></td>
    <td class="value-cell"><code>${one.row ? one.row.preview() : 'expired'}</code></td><td class="n">${count(one.events)}</td>
    <td class="time">${one.row ? ago(one.row.event.created_at) : ''}</td></tr>`)}<//>`;

/** The history of one subject or key, one version opened, and how it differs from the one before. */
function Versions({ one, close }) {
  const { subject, key } = one.row.event;
  const [found, error] = useLoaded(async () => readPage((await callForHeaders('GET', '/v1/events', { query: { subject, limit: VERSIONS } })).text), [one]);
  const [at, setAt] = useState(0);
  const versions = found ? found.rows.filter((row) => one.name === subject || row.event.key === key) : [one.row];
  const [shown, earlier] = [versions[at] || one.row, versions[at + 1]];
  return html`<${Panel} title="History"><${Problem} error=${error} />
    <label>Version<select value=${at} onChange=${(event) => setAt(Number(event.target.value))}>${versions.map((row, number) => html`
      <option key=${row.event.index} value=${number}>${clock(row.event.created_at)} · ${row.event.index}</option>`)}</select></label>
    ${earlier && html`<${Difference} changes=${difference(earlier.payload, shown.payload)} />`}<//>
    <${EventDetail} row=${shown} close=${close} />`;
}

const Difference = ({ changes }) => html`<h3>${changes.length ? plural(changes.length, 'difference') : 'No difference'} to the one before</h3>
  <dl class="facts difference">${changes.map((one) => html`<div key=${one.path}><dt class="break"><code>${one.path || 'value'}</code></dt>
    <dd>${one.before !== undefined && html`<del>${one.before}</del>`} ${one.after !== undefined && html`<ins>${one.after}</ins>`}</dd></div>`)}</dl>`;

// -- The newest value of each subject, or of each key.

const SUBJECTS = 100;
const MOST_PATTERNS = 64;
const MOST_CHARACTERS = 5000;
const LOOKED_AT = 1000;

/** A page of subjects that *pattern* takes, each with its newest event: {rows, next}. */
async function bySubject(pattern, after) {
  const { subjects, next } = await call('GET', '/v1/subjects', { query: { match: pattern, after, limit: SUBJECTS } });
  const values = new Map();
  for (const some of inPieces(subjects.map((one) => one.subject))) {
    const lines = await readAll('/', { subject: some.join(), start: 'last', follow: 'false' });
    for (const line of lines.filter((one) => !one.startsWith('{"event":'))) {
      const row = new EventLine(line);
      values.set(row.event.subject, row);
    }
  }
  return { rows: subjects.map((one) => ({ name: one.subject, events: one.events, row: values.get(one.subject) })), next };
}

/** The newest event of each key among the next that *pattern* takes: {rows, next}. */
async function byKey(pattern, before, known = []) {
  const { text } = await callForHeaders('GET', '/v1/events', { query: { subject: pattern, before, limit: LOOKED_AT } });
  const page = readPage(text);
  const keys = new Map(known.map((one) => [one.name, one]));
  for (const row of page.rows) {
    const { key } = row.event;
    if (key === undefined) continue;
    if (!keys.has(key)) keys.set(key, { name: key, events: 0, row });
    keys.get(key).events++;
  }
  return { rows: [...keys.values()].sort((a, b) => (a.name < b.name ? -1 : 1)), next: page.next };
}

/** What fits into one request each. */
function inPieces(subjects) {
  const pieces = [[]];
  let length = 0;
  for (const subject of subjects) {
    const size = encodeURIComponent(subject).length + 3;
    if (pieces.at(-1).length >= MOST_PATTERNS || length + size > MOST_CHARACTERS) { pieces.push([]); length = 0; }
    pieces.at(-1).push(subject);
    length += size;
  }
  return pieces.filter((piece) => piece.length);
}

// -- What is different between two values of JSON: by paths, so that the order of names doesn't count.

/** [{path, before, after}] in the order of the paths; what isn't there is undefined, the rest is text. */
function difference(before, after) {
  const [old, now] = [flat(before), flat(after)];
  const paths = [...new Set([...old.keys(), ...now.keys()])].sort();
  return paths.map((path) => ({ path, before: old.get(path), after: now.get(path) })).filter((one) => one.before !== one.after);
}

/** The text of each leaf of *value* by its path. */
function flat(value, path = '', found = new Map()) {
  if (value instanceof LongNumber) found.set(path, value.text);
  else if (value === null || typeof value !== 'object' || !Object.keys(value).length) found.set(path, JSON.stringify(value));
  else for (const [name, inner] of Object.entries(value)) flat(inner, path ? `${path}.${name}` : name, found);
  return found;
}
