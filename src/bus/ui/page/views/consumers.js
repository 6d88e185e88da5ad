// Durable consumers: how far behind each is and why, and what can be done about it.

import { html, useState } from '../vendor/preact-htm.js';
import { ago, clock, count, plural } from '../format.js';
import { call, consumerPath } from '../api.js';
import { address, become, go } from '../router.js';
import { mayManage, useStore } from '../store.js';
import { DeleteDialog, Dialog, Empty, Facts, Figure, FilterInput, Form, Page, Panel, Problem, Table, Tag, useAction, useLoaded, useMore } from '../parts/basics.js';
import { Chart, Sparkline } from '../parts/chart.js';

export default function Consumers({ name, parameters }) {
  const { known, history } = useStore();
  if (!known.time) return html`<${Page} title="Consumers" hint="Asking the server …" />`;
  if (!name) return html`<${All} consumers=${[...known.consumers.values()]} history=${history} filter=${parameters.filter || ''} />`;
  const one = known.consumers.get(name);
  return one ? html`<${One} key=${name} one=${one} series=${history.consumers.get(name)} />`
    : html`<${Page} title=${name}><${Empty} title="No such consumer">It was deleted, or has expired. <a href="#/consumers">All consumers</a><//><//>`;
}

const State = ({ one }) => html`
  ${one.paused ? html`<${Tag} tone="warn">paused<//>` : null}${one.connections ? null : html`<${Tag}>no connection<//>`}`;

const lag = (one) => html`${count(one.behind)}${one.counting ? '+' : ''}`;

function All({ consumers, history, filter }) {
  const word = filter.toLowerCase();
  const found = consumers.filter((one) => `${one.name} ${one.patterns} ${one.why}`.toLowerCase().includes(word))
    .sort((a, b) => b.dead - a.dead || b.behind - a.behind || a.name.localeCompare(b.name));
  const [shown, more] = useMore(found);
  return html`<${Page} title="Consumers" hint="A durable consumer keeps its place over disconnects and restarts.">
    ${consumers.length > 5 && html`<${Form} kind="bar"><${FilterInput} hint="text in name, pattern or why" value=${filter}
      change=${(text) => become('consumers', { filter: text })} /><//>`}
    <${Panel} flush>${shown.length ? html`<${Table} head=${[['Consumer'], ['Why'], ['Lag'], ['Behind', 'n'], ['In flight', 'n'], ['Connections', 'n'], ['Dead', 'n']]}>
      ${shown.map((one) => html`<tr key=${one.name}>
        <td class="name"><a href=${address('consumers', {}, one.name)}>${one.name}</a> <${State} one=${one} />
          <div class="muted break">${one.patterns.join(', ')}</div></td>
        <td class="why">${one.why}</td>
        <td><${Sparkline} values=${history.consumers.get(one.name)?.behind} label=${`Lag of ${one.name}`} /></td>
        <td class="n">${lag(one)}</td><td class="n">${count(one.in_flight)}</td><td class="n">${count(one.connections)}</td>
        <td class="n">${one.dead ? html`<a class="bad" href=${address('dead', { consumer: one.name })}>${count(one.dead)}</a>` : 0}</td>
      </tr>`)}<//>${more}`
    : html`<${Empty} title=${filter ? 'None matches' : 'No durable consumers'}>One is made by subscribing with <code>ack=manual&consumer=NAME</code>, or by <code>bus consumers edit</code>.<//>`}<//><//>`;
}

function One({ one, series }) {
  const [connections, problem] = useLoaded(() => call('GET', consumerPath(one.name, 'connections')), [one.name, one.connections]);
  const [pending] = useLoaded(() => call('GET', consumerPath(one.name, 'pending'), { query: { limit: 100 } }), [one.name, one.pending, one.next_index]);
  return html`<${Page} title=${one.name} hint=${html`${one.patterns.join(', ')} <${State} one=${one} />`}
      actions=${html`<${ConsumerActions} one=${one} />`}>
    <p class="lead">${one.why}</p>
    <div class="figures">
      <${Figure} label="Behind" value=${lag(one)} note=${`next index ${count(one.next_index)}`} />
      <${Figure} label="In flight" value=${count(one.in_flight)} note=${`${count(one.pending)} pending`} />
      <${Figure} label="Oldest unacknowledged" value=${ago(one.oldest_in_flight)} />
      <${Figure} label="Dead letters" tone=${one.dead ? 'bad' : ''} value=${one.dead ? html`<a href=${address('dead', { consumer: one.name })}>${count(one.dead)}</a>` : 0} />
    </div>
    <div class="columns">
      <${Panel} title="Lag"><${Chart} label=${`Events that ${one.name} has yet to read`} times=${series?.times || []} format=${count}
        series=${[{ label: 'behind', values: series?.behind || [], colour: 'accent', fill: true },
          { label: 'in flight', values: series?.inFlight || [], colour: 'second' }]} /><//>
      <${Panel} title="Terms"><${Facts} rows=${[
        ['Patterns', html`<span class="break">${one.patterns.join(', ')}</span>`], ['Redelivery', one.redelivery],
        ['Deliveries at most', one.redelivery_count || 'no limit'], ['Order', one.order || 'none'],
        ['Kept without a connection', one.expires === '0' ? 'for ever' : one.expires || 'as the server says'],
      ]} /><//>
    </div>
    <${Panel} title="Connections" flush><${Problem} error=${problem} /><${Connections} found=${connections?.connections} /><//>
    <${Panel} title="Pending" flush><${Pending} found=${pending} /><//>
  <//>`;
}

function Connections({ found }) {
  if (!found?.length) return html`<${Empty} title="Nobody is connected">Events wait until a worker subscribes.<//>`;
  return html`<${Table} head=${[['Address'], ['Worker'], ['Since'], ['In flight', 'n'], ['Prefetch', 'n'], []]}>
    ${found.map((one) => html`<tr key=${one.consumer_id}><td>${one.address}</td><td class="break">${one.worker || '–'}</td>
      <td>${ago(one.since)}</td><td class="n">${one.in_flight}</td><td class="n">${one.prefetch}</td>
      <td>${one.silent ? html`<${Tag} tone="warn">silent<//>` : null}</td></tr>`)}<//>`;
}

function Pending({ found }) {
  if (!found?.count) return html`<${Empty} title="Nothing is pending">All that was read is settled.<//>`;
  return html`<${Table} head=${[['Index', 'n'], ['State'], ['Attempt', 'n'], ['Delivered'], ['Until'], ['Event']]}>
    ${found.pending.map((one) => html`<tr key=${one.index}><td class="n">${one.index}</td><td>${one.state}</td>
      <td class="n">${one.attempts}</td><td>${one.since ? clock(one.since) : '–'}</td><td>${one.due ? clock(one.due) : '–'}</td>
      <td><code>${one.event_id}</code></td></tr>`)}<//>
    ${found.count > found.pending.length && html`<p class="muted pad">and ${count(found.count - found.pending.length)} more</p>`}`;
}

// -- What is done to a durable consumer: pause and resume, move, delete. What can't be undone is said before it is done.

function ConsumerActions({ one }) {
  const [open, setOpen] = useState('');
  const [doing, error, run] = useAction();
  if (!mayManage(useStore(), one)) return null;
  const pause = () => run(() => call('PUT', consumerPath(one.name), { body: { paused: !one.paused } }));
  const close = () => setOpen('');
  return html`<${Problem} error=${error} />
    <button type="button" disabled=${doing} onClick=${pause}>${one.paused ? 'Resume' : 'Pause'}</button>
    <button type="button" onClick=${() => setOpen('move')}>Move …</button>
    <button type="button" class="danger" onClick=${() => setOpen('delete')}>Delete …</button>
    ${open === 'move' && html`<${Move} one=${one} close=${close} />`}
    ${open === 'delete' && html`<${Delete} one=${one} close=${close} />`}`;
}

function Move({ one, close }) {
  const [to, setTo] = useState('');
  const [outlook, setOutlook] = useState(null);
  const [doing, error, run] = useAction();
  const position = (query) => call('POST', consumerPath(one.name, 'position'), { query, body: { to } });
  const look = () => run(async () => setOutlook({ asked: to, ...await position({ dry_run: 'true' }) }));
  const move = () => run(async () => { await position({}); close(); });
  const said = outlook?.asked === to ? outlook : null;
  return html`<${Dialog} title=${`Move ${one.name}`} close=${close}>
    <${Form} submit=${look}>
      <label>Where to<input class="code" autofocus required value=${to} onInput=${(event) => setTo(event.target.value.trim())}
        placeholder="oldest, newest, 42, 15m, +10, -10, a time or an id" /></label>
      <${Problem} error=${error} />
      ${said && html`<p class="outlook" role="status">From index ${said.from} to ${said.to}:
        <b>${plural(said.repeats, 'event')}</b> delivered again, <b>${plural(said.skips, 'event')}</b> skipped,
        <b>${said.forgotten}</b> of what is pending forgotten.</p>`}
      <div class="actions end"><button disabled=${doing || !to}>What would it do?</button>
        <button type="button" class="danger" disabled=${doing || !said} onClick=${move}>Move</button></div>
    <//><//>`;
}

const Delete = ({ one, close }) => html`<${DeleteDialog} name=${one.name} close=${close}
  remove=${async () => { await call('DELETE', consumerPath(one.name)); go('consumers'); }}>
  Its place, ${plural(one.pending, 'pending event')} and ${plural(one.dead, 'dead letter')} are forgotten, and its streams end. The events stay.<//>`;
