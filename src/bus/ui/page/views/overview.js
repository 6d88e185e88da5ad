// What is going on: what doesn't work first, then figures, rates and namespaces.

import { html } from '../vendor/preact-htm.js';
import { bytes, count, plural, rate } from '../format.js';
import { address } from '../router.js';
import { lastOf } from '../counts.js';
import { useStore } from '../store.js';
import { Empty, Figure, Page, Panel, Table, useMore } from '../parts/basics.js';
import { Chart, Sparkline } from '../parts/chart.js';
import { MakeNamespace, Namespace, State } from './namespaces.js';

const sum = (list, name) => list.reduce((total, one) => total + (one[name] || 0), 0);

export default function Overview({ name }) {
  const state = useStore();
  const { known, history } = state;
  if (!known.time) return html`<${Page} title="Overview" hint="Asking the server …" />`;
  if (name) return html`<${Namespace} name=${name} />`;
  const [namespaces, consumers] = [[...known.namespaces.values()], [...known.consumers.values()]];
  return html`<${Page} title="Overview">
    <${Troubles} found=${troubles(state)} />
    <div class="figures">
      <${Figure} label="Events" value=${count(sum(namespaces, 'events'))} note=${plural(namespaces.length, 'namespace')} />
      <${Figure} label="On disk" value=${bytes(sum(namespaces, 'bytes'))} note=${plural(sum(namespaces, 'segments'), 'segment')} />
      <${Figure} label="Published" value=${`${rate(lastOf(history.published) ?? 0)}/s`} />
      <${Figure} label="Delivered" value=${`${rate(lastOf(history.delivered) ?? 0)}/s`} />
      ${known.server && html`<${Figure} label="Connections" value=${count(known.server.connections)} note=${plural(known.server.streams, 'stream')} />`}
      <${Figure} label="Consumers" value=${count(consumers.length)} note=${`${count(sum(consumers, 'behind'))} behind`} />
    </div>
    <${Panel} title="Events per second">
      <${Chart} label="Events published and delivered per second" times=${history.times} format=${rate} series=${[
        { label: 'published', values: history.published, colour: 'accent', fill: true },
        { label: 'delivered', values: history.delivered, colour: 'second' }]} /><//>
    <${Panel} title="Namespaces" flush aside=${html`<${MakeNamespace} />`}><${Namespaces} namespaces=${namespaces} history=${history} /><//>
  <//>`;
}

const Troubles = ({ found }) => found.length
  ? html`<ul class="troubles">${found.map((one) => html`
      <li key=${one.text} class=${one.tone}><a href=${one.link}><strong>${one.text}</strong><span>${one.detail}</span></a></li>`)}</ul>`
  : html`<p class="well"><i class="dot good"></i>Every namespace takes events, nobody falls behind, nothing was given up.</p>`;

function Namespaces({ namespaces, history }) {
  const [shown, more] = useMore(namespaces);
  if (!namespaces.length) {
    return html`<${Empty} title="Nothing to see">There is no namespace yet, or none is for you.<//>`;
  }
  return html`<${Table} head=${[['Namespace'], ['Published'], ['per second', 'n'], ['Events', 'n'], ['Subjects', 'n'], ['Size', 'n'], ['Streams', 'n'], []]}>
    ${shown.map((one) => {
      const published = history.namespaces.get(one.namespace)?.published;
      return html`<tr key=${one.namespace}>
        <td class="name"><a href=${address('overview', {}, one.namespace)}>${one.namespace}</a></td>
        <td><${Sparkline} values=${published} label=${`Events published to ${one.namespace}`} /></td>
        <td class="n">${rate(lastOf(published) ?? 0)}</td>
        <td class="n">${count(one.events)}</td><td class="n">${count(one.subjects)}</td>
        <td class="n">${bytes(one.bytes)}${one.quota ? html`<span class="muted"> of ${bytes(one.quota)}</span>` : null}</td>
        <td class="n">${count(one.subscribers)}</td>
        <td><${State} one=${one} /></td>
      </tr>`;
    })}<//>${more}`;
}

// -- What an operator has to know first: what doesn't work, and what soon won't. Each with where it is mended.

const WINDOW = 60;

/** [{tone, text, detail, link}], the worst first. */
export function troubles({ known, history }) {
  const [namespaces, consumers] = [[...known.namespaces.values()], [...known.consumers.values()]];
  const found = [
    ...namespaces.filter((one) => !one.writable).map((one) => ({
      tone: 'bad', text: `${one.namespace} takes no events`, detail: 'A write or a sync failed: reading goes on, writing needs a restart.',
      link: address('server'),
    })),
    ...namespaces.filter((one) => one.quota && one.bytes > 0.9 * one.quota).map((one) => ({
      tone: 'warn', text: `${one.namespace} has used ${Math.round((100 * one.bytes) / one.quota)} % of its quota`,
      link: address('overview', {}, one.namespace),
    })),
    ...consumers.flatMap((one) => behind(one, history.consumers.get(one.name))),
    ...consumers.filter((one) => one.dead).map((one) => ({
      tone: 'bad', text: `${one.name} gave up ${count(one.dead)} event${one.dead === 1 ? '' : 's'}`, detail: 'Dead letters wait to be redriven or dropped.',
      link: address('dead', { consumer: one.name }),
    })),
  ];
  return found.sort((a, b) => (a.tone === 'bad' ? 0 : 1) - (b.tone === 'bad' ? 0 : 1));
}

function behind(one, series) {
  const slope = growth(series);
  if (one.behind > 0 && slope > 0) {
    return [{ tone: 'warn', text: `${one.name} falls behind by ${rate(slope)} a second`,
      detail: `${count(one.behind)} behind: ${one.why}`, link: address('consumers', {}, one.name) }];
  }
  if (one.behind > 0 && (!one.connections || one.paused)) {
    return [{ tone: 'warn', text: `${one.name} is ${count(one.behind)} behind`, detail: one.why,
      link: address('consumers', {}, one.name) }];
  }
  return [];
}

/** How much the lag has grown a second over the last minute; 0 unless it did all the while. */
function growth(series) {
  if (!series || series.behind.length < 10) return 0;
  const lags = series.behind.slice(-WINDOW);
  const times = series.times.slice(-WINDOW);
  const middle = Math.floor(lags.length / 2);
  const last = lags.length - 1;
  const grows = lags[0] < lags[middle] && lags[middle] < lags[last];
  return grows ? (lags[last] - lags[0]) / (times[last] - times[0]) : 0;
}
