// The server itself: what it is, how it fares, what it was told, and the last lines of its log.

import { html, useEffect } from '../vendor/preact-htm.js';
import { bytes, clock, count, duration, plural } from '../format.js';
import { learn, useStore } from '../store.js';
import { Empty, Facts, Figure, Page, Panel, Table, Tag } from '../parts/basics.js';

const AGAIN_MS = 5000;

export default function ServerView() {
  const { about, known } = useStore();
  useEffect(() => {
    const timer = setInterval(learn, AGAIN_MS);
    return () => clearInterval(timer);
  }, []);
  if (!about) return html`<${Page} title="Server" hint="Asking the server …" />`;
  return html`<${Page} title="Server">
    ${known.server ? html`<${Counts} counts=${known.server} />`
      : html`<${Panel}><${Empty} title="Not for this token">What the server is and how it fares takes the right <code>metrics</code>.<//><//>`}
    <div class="columns">
      <${Panel} title="Program"><${Facts} rows=${[
        ['Version', about.version], ['Build', about.version && (about.compiled ? 'compiled' : 'pure')], ['Engine', about.engine], ['Python', about.python], ['uvloop', about.uvloop],
        ['Started', about.started_at && clock(about.started_at)],
      ]} /><//>
      <${Panel} title="You"><${Facts} rows=${[['Known as', about.who], ...grants(about.may)]} /><//>
    </div>
    ${about.nodes && html`<${Nodes} nodes=${about.nodes} />`}
    ${about.log && html`<${Log} lines=${about.log} />`}
    ${about.settings && html`<${Panel} title="Settings"><div class="wide-facts"><${Facts} rows=${Object.entries(about.settings).map(([name, value]) =>
      [html`<code>--${name}</code>`, value ? html`<code>${value}</code>` : html`<span class="muted">not set</span>`])} /></div><//>`}
  <//>`;
}

const Counts = ({ counts }) => html`<div class="figures">
  <${Figure} label="Uptime" value=${duration(counts.uptime)} />
  <${Figure} label="Memory" value=${bytes(counts.memory)} note=${`${bytes(counts.body_memory)} of bodies`} />
  <${Figure} label="Connections" value=${count(counts.connections)} note=${plural(counts.streams, 'stream')} />
  <${Figure} label="Inboxes" value=${count(counts.inboxes)} note=${bytes(counts.inbox_bytes)} />
  <${Figure} label="Sync p50" value=${duration(counts.sync_p50)} />
  <${Figure} label="Sync p99" value=${duration(counts.sync_p99)} />
</div>`;

const NODE_TONES = { behind: 'warn', offline: 'bad' };

const Nodes = ({ nodes }) => html`<${Panel} title="Nodes" flush>${nodes.length
  ? html`<${Table} head=${[['Node'], ['State'], ['Leads', 'n'], ['Copies', 'n'], ['Behind', 'n']]}>${nodes.map((node) => html`
    <tr key=${node.name}><td>${node.name} ${node.connected && html`<span class="muted">connected, ${node.version}</span>`}</td>
      <td><${Tag} tone=${NODE_TONES[node.state]}>${node.state}<//></td>
      ${[node.leads, node.copies, node.behind].map((number) => html`<td class="n">${count(number)}</td>`)}</tr>`)}<//>`
  : html`<${Empty} title="No node can be reached">The events are kept by NATS, and there is no connection to it.<//>`}<//>`;

const grants = (may) => (may.admin ? [['May', 'everything']] : [
  ...['publish', 'subscribe', 'consumers', 'manage'].map((what) => [`May ${what === 'consumers' ? 'use' : what}`, may[what].join(', ')]),
  ['May reply', may.reply && 'yes'], ['May measure', may.metrics && 'yes'],
]);

const TONES = { WARNING: 'warn', ERROR: 'bad' };

const Log = ({ lines }) => html`<${Panel} title="Log" flush><div class="scroll log"><table><tbody>${lines.toReversed().map((line, at) => html`
  <tr key=${`${line.time} ${at}`}><td class="time muted">${clock(line.time)}</td><td><${Tag} tone=${TONES[line.level]}>${line.level}<//></td>
    <td class="break">${line.message}</td></tr>`)}</tbody></table></div><//>`;
