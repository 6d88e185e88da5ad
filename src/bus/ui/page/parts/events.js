// What both ways to look at events have: what is asked for, the rows, and one of them opened.

import { html, useEffect, useRef, useState } from '../vendor/preact-htm.js';
import { ago, bytes, clock } from '../format.js';
import { mayPublish, useStore } from '../store.js';
import { address } from '../router.js';
import { asCommand, asCurl, asPython, LongNumber } from '../event_line.js';
import { CopyButton, download, Facts, FilterInput, Form, SubjectInput } from './basics.js';

const ROW = 34;

export function EventBar({ subject, parameters, set, children }) {
  const { filter = '', key, trace } = parameters;
  return html`<${Form} kind="bar">
    <label class="wide">Subject<${SubjectInput} value=${subject} pattern change=${(value) => set({ subject: value })} /></label>
    <${FilterInput} hint="text in the event" value=${filter} change=${(text) => set({ filter: text })} />
    ${children}
    ${[['key', key], ['trace', trace]].filter(([, value]) => value).map(([name, value]) => html`
      <button type="button" key=${name} class="chip" title="Follow no longer" onClick=${() => set({ [name]: '' })}>${name} <b>${value}</b> ✕</button>`)}
  <//>`;
}

export function EventList({ rows, selected, select, empty }) {
  return html`<div class=${`split ${selected ? 'open' : ''}`}>
    <${Rows} rows=${rows} height=${ROW} label="Events" selected=${selected} select=${select} empty=${empty} draw=${(row) => html`
      <span class="index">${row.event.index}</span><time>${clock(row.event.created_at)}</time>
      <span class="subject" title=${row.event.subject}>${row.event.subject}</span><span class="payload">${row.preview()}</span>`} />
    ${selected && html`<div class="side"><button type="button" hidden data-key="escape" onClick=${() => select(null)}></button>
      <${EventDetail} row=${selected} close=${() => select(null)} /></div>`}
  </div>`;
}

export const Save = ({ rows }) => html`<button type="button" disabled=${!rows.length} title="As NDJSON, the oldest first"
  onClick=${() => download('events.ndjson', rows.toReversed().map((row) => `${row.line}\n`))}>Download</button>`;

// -- A list of which only what can be seen is in the page, so that its length costs nothing. Rows are of one height.

const BEYOND = 8;

function Rows({ rows, height, draw, label, selected, select, empty }) {
  const place = useRef(null);
  const [view, setView] = useState({ top: 0, tall: 600 });
  useEffect(() => {
    const look = () => setView({ top: place.current.scrollTop, tall: place.current.clientHeight });
    const sizes = new ResizeObserver(look);
    sizes.observe(place.current);
    return () => sizes.disconnect();
  }, []);
  const first = Math.max(0, Math.floor(view.top / height) - BEYOND);
  const shown = rows.slice(first, Math.ceil((view.top + view.tall) / height) + BEYOND);
  const step = (event) => {
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 }[event.key];
    if (!by || !rows.length) return;
    event.preventDefault();
    const at = Math.min(Math.max(rows.indexOf(selected) + by, 0), rows.length - 1);
    select(rows[at]);
    keepInView(place.current, at * height, height);
  };
  const scroll = ({ currentTarget: { scrollTop: top, clientHeight: tall } }) => setView({ top, tall });
  return html`<div class="rows" ref=${place} role="listbox" aria-label=${label} tabindex="0" onScroll=${scroll} onKeyDown=${step}>
    ${rows.length ? html`<div role="presentation" class="all" style=${{ height: `${rows.length * height}px` }}>
      ${shown.map((row, at) => html`
        <div role="option" class="row" aria-selected=${row === selected} key=${row.key ?? first + at} onClick=${() => select(row)}
          style=${{ top: `${(first + at) * height}px`, height: `${height}px` }}>${draw(row)}</div>`)}</div>` : empty}
  </div>`;
}

function keepInView(place, top, height) {
  if (top < place.scrollTop) place.scrollTop = top;
  else if (top + height > place.scrollTop + place.clientHeight) place.scrollTop = top + height - place.clientHeight;
}

// -- One event with all that is known of it, and what can be done with it.

export function EventDetail({ row, close }) {
  const publish = mayPublish(useStore());
  const { event } = row;
  const [raw, setRaw] = useState(false);
  const namespace = event.subject.split('.')[0];
  return html`<article class="detail" aria-label="Event">
    <div class="panel-head"><h2 class="break">${event.subject}</h2>
      ${close && html`<button type="button" aria-label="Close" onClick=${close}>✕</button>`}</div>
    <${Facts} rows=${[
      ['Index', html`<a href=${address('events', { subject: `${namespace}.>`, upto: event.index })}>${event.index}</a>`],
      ['Id', html`<code>${event.id}</code>`],
      ['Time', html`${clock(event.created_at)} <span class="muted">${ago(event.created_at)} ago</span>`],
      ['Size', bytes(row.size)],
      ['Key', event.key && html`<code>${event.key}</code> ${follow('key', event.key, namespace)}`],
      ['Trace', event.trace_id && html`<code>${event.trace_id}</code> ${follow('trace', event.trace_id, namespace)}`],
      ['Attempts', event.attempts],
      ['Lives for', event.ttl],
      ['Replies to', event.response_subject && html`<code>${event.response_subject}</code>`],
      ['Error', event.error],
    ]} />
    ${event.headers && html`<h3>Headers</h3>
      <${Facts} rows=${Object.entries(event.headers).map(([name, value]) => [name, html`<code>${value}</code>`])} />`}
    ${event.dead && html`<h3>Dead letter</h3>
      <${Facts} rows=${Object.entries(event.dead).map(([name, value]) => [name.replace('_', ' '), String(value)])} />`}
    <div class="panel-head"><h3>Payload</h3>
      <button type="button" class="plain" aria-pressed=${raw} onClick=${() => setRaw(!raw)}>${raw ? 'Tree' : 'Text'}</button></div>
    ${raw ? html`<pre class="raw" tabindex="0">${row.payloadText}</pre>` : html`<${JsonTree} key=${event.id} value=${row.payload} />`}
    <div class="actions wrap">
      <span class="muted">Copy</span><${CopyButton} text=${() => row.payloadText}>payload<//>
      <${CopyButton} text=${() => asCurl(row)}>curl<//>
      <${CopyButton} text=${() => asCommand(row)}>bus<//>
      <${CopyButton} text=${() => asPython(row)}>Python<//>
      ${publish && html`<a class="button" href=${address('publish', { again: event.id, subject: event.subject })}>Edit and publish</a>`}
    </div>
  </article>`;
}

const follow = (what, value, namespace) =>
  html`<a href=${address('events', { subject: `${namespace}.>`, start: 'oldest', [what]: value })}>follow</a>`;

// -- JSON as a tree that opens and closes. Everything in it is text: nothing of a payload is ever markup.

const SHOWN = 100;
const LONGEST = 2000;

function JsonTree({ value }) {
  return html`<div class="json"><${Node} value=${value} open=${true} depth=${0} /></div>`;
}

function Node({ name, value, depth, open: first }) {
  const [open, setOpen] = useState(first);
  const [shown, setShown] = useState(SHOWN);
  const label = name !== undefined && html`<span class="name">${name}</span>`;
  if (!isTree(value)) return html`<div class="leaf">${label}<${Leaf} value=${value} /></div>`;
  const entries = Object.entries(value);
  const list = Array.isArray(value);
  const sum = list ? `[${entries.length}]` : `{${entries.length}}`;
  if (!entries.length) return html`<div class="leaf">${label}<span class="muted">${list ? '[]' : '{}'}</span></div>`;
  return html`<div class="branch">
    <button type="button" class="plain" aria-expanded=${open} onClick=${() => setOpen(!open)}>
      ${label}<span class="muted">${sum}</span></button>
    ${open && html`<div class="inner">
      ${entries.slice(0, shown).map(([key, one]) => html`
        <${Node} key=${key} name=${key} value=${one} depth=${depth + 1} open=${depth < 2} />`)}
      ${entries.length > shown && html`
        <button type="button" class="plain" onClick=${() => setShown(shown + SHOWN)}>
          ${entries.length - shown} more</button>`}
    </div>`}</div>`;
}

const isTree = (value) => value !== null && typeof value === 'object' && !(value instanceof LongNumber);

function Leaf({ value }) {
  if (value instanceof LongNumber) return html`<span class="number">${value.text}</span>`;
  if (typeof value !== 'string') return html`<span class=${typeof value}>${String(value)}</span>`;
  const text = value.length > LONGEST ? `${value.slice(0, LONGEST)}… (${value.length} characters)` : value;
  return html`<span class="string">${JSON.stringify(text)}</span>`;
}
