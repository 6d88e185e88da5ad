// One namespace, and what is done to it: make it, change its settings, delete it.

import { html, useState } from '../vendor/preact-htm.js';
import { call } from '../api.js';
import { lastOf } from '../counts.js';
import { bytes, count, plural, rate } from '../format.js';
import { address, go } from '../router.js';
import { mayManageNamespace, maySubscribe, useStore } from '../store.js';
import { DeleteDialog, Dialog, Empty, Facts, Figure, Form, Page, Panel, Problem, Tag, useAction } from '../parts/basics.js';
import { Chart } from '../parts/chart.js';

const pathOf = (name) => `/v1/namespaces/${encodeURIComponent(name)}`;

export function Namespace({ name }) {
  const state = useStore();
  const { known, history } = state;
  const one = known.namespaces.get(name);
  if (!one) return html`<${Page} title=${name}><${Empty} title="No such namespace">It was deleted, or is not for you. <a href="#/overview">All namespaces</a><//><//>`;
  const series = history.namespaces.get(name) || { published: [], delivered: [] };
  const consumers = [...known.consumers.values()].filter((other) => other.namespace === name);
  return html`<${Page} title=${name} hint=${html`Namespace <${State} one=${one} />`} actions=${html`
      ${maySubscribe(state) && html`<a class="button" href=${address('events', { subject: `${name}.>` })}>Events</a>`}
      <${Actions} one=${one} consumers=${consumers} />`}>
    <div class="figures">
      <${Figure} label="Events" value=${count(one.events)} note=${one.events ? `${one.first_index} to ${one.next_index - 1}` : 'none left'} />
      <${Figure} label="Subjects" value=${count(one.subjects)} />
      <${Figure} label=${one.storage === 'memory' ? 'In memory' : 'On disk'} value=${bytes(one.bytes)} note=${plural(one.segments, 'segment')} />
      <${Figure} label="Published" value=${`${rate(lastOf(series.published) ?? 0)}/s`} />
      <${Figure} label="Delivered" value=${`${rate(lastOf(series.delivered) ?? 0)}/s`} note=${plural(one.subscribers, 'stream')} />
      <${Figure} label="Consumers" value=${count(consumers.length)} />
    </div>
    <div class="columns">
      <${Panel} title="Events per second"><${Chart} label=${`Events published to and delivered from ${name} per second`} format=${rate}
        times=${history.times.slice(-series.published.length)} series=${[
          { label: 'published', values: series.published, colour: 'accent', fill: true },
          { label: 'delivered', values: series.delivered, colour: 'second' }]} /><//>
      <${Panel} title="Settings"><${Facts} rows=${[
        ['Stored', one.storage === 'memory' ? 'in memory, until the server stops' : 'on disk'],
        ['Keeps', one.retention || 'everything'], ['Quota', one.quota ? bytes(one.quota) : 'none'],
        ['Compacted', one.compact ? `by ${one.compact}, ${plural(one.compactions, 'time')}, ${bytes(one.compacted_bytes)} freed` : 'no'],
        ['Keys remembered', count(one.keys)],
        ['Declared', one.declared ? 'on the command line: it is deleted only once it is taken out there' : 'no, it was made on the running server'],
        ['Consumers', consumers.length > 0 && html`${consumers.map((other) => html`<div key=${other.name}><a href=${address('consumers', {}, other.name)}>${other.name}</a></div>`)}`],
      ]} /><//>
    </div><//>`;
}

export const State = ({ one }) => html`
  ${one.writable ? null : html`<${Tag} tone="bad">takes no events<//>`}${one.storage === 'memory' ? html`<${Tag}>memory<//>` : null}`;

function Actions({ one, consumers }) {
  const [open, setOpen] = useState('');
  if (!mayManageNamespace(useStore(), one.namespace)) return null;
  const close = () => setOpen('');
  return html`<button type="button" onClick=${() => setOpen('change')}>Settings …</button>
    ${!one.declared && html`<button type="button" class="danger" onClick=${() => setOpen('delete')}>Delete …</button>`}
    ${open === 'change' && html`<${Settings} one=${one} close=${close} />`}
    ${open === 'delete' && html`<${DeleteDialog} name=${one.namespace} close=${close}
      remove=${async () => { await call('DELETE', pathOf(one.namespace)); go('overview'); }}>
      ${plural(one.events, 'event')} and ${plural(consumers.length, 'durable consumer')} are deleted for good, and streams of it end.<//>`}`;
}

/** The button that makes a namespace, for whom it is. */
export function MakeNamespace() {
  const [open, setOpen] = useState(false);
  if (!mayManageNamespace(useStore())) return null;
  return html`<button type="button" onClick=${() => setOpen(true)}>New namespace …</button>
    ${open && html`<${Settings} close=${() => setOpen(false)} />`}`;
}

/** The settings of *one* as they are written; of none yet, those that the flags say. */
const written = (one) => ({
  retention: one ? one.retention || 'everything' : '', max_bytes: one ? String(one.quota || 0) : '', compact: one ? one.compact || 'none' : '',
});

function Settings({ one, close }) {
  const before = written(one);
  const [form, setForm] = useState({ name: one?.namespace || '', storage: 'disk', ...before });
  const [doing, error, run] = useAction();
  const set = (field) => (event) => setForm({ ...form, [field]: event.target.value.trim() });
  const changed = Object.keys(before).filter((field) => form[field] !== before[field]).map((field) => [field, form[field] || null]);
  const save = () => run(async () => {
    await call('PUT', pathOf(form.name), { body: { ...(one ? {} : { storage: form.storage }), ...Object.fromEntries(changed) } });
    close();
    go('overview', {}, form.name);
  });
  return html`<${Dialog} title=${one ? `Settings of ${one.namespace}` : 'New namespace'} close=${close}>
    <${Form} submit=${save}>
      ${!one && html`<div class="pair">
        <label>Name<input class="code" autofocus required autocomplete="off" value=${form.name} onInput=${set('name')} placeholder="orders" /></label>
        <label>Stored<select value=${form.storage} onChange=${set('storage')}><option value="disk">on disk</option><option value="memory">in memory</option></select></label></div>`}
      <label>Keep<input class="code" value=${form.retention} onInput=${set('retention')} placeholder="7d,10GB,1000000 or everything" /></label>
      <div class="pair">
        <label>Quota<input class="code" value=${form.max_bytes} onInput=${set('max_bytes')} placeholder="10GB, 0 for none" /></label>
        <label>Compact by<select value=${form.compact} onChange=${set('compact')}>
          <option value="">as flags say</option><option value="none">nothing</option><option value="subject">subject</option><option value="key">subject and key</option></select></label></div>
      <p class="muted">What is empty is as the server's flags say. Events that needn't be kept any more are deleted for good.</p>
      <${Problem} error=${error} />
      <div class="actions end"><button class="primary" disabled=${doing || !form.name || Boolean(one && !changed.length)}>${one ? 'Save' : 'Make'}</button></div>
    <//><//>`;
}
