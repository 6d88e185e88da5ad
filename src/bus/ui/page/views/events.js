// Events: as they come, or those that are stored.

import { html, useEffect, useMemo, useRef, useState } from '../vendor/preact-htm.js';
import { become } from '../router.js';
import { firstPattern, useStore } from '../store.js';
import { matcher, readEvent, readPage } from '../event_line.js';
import { count, plural } from '../format.js';
import { Tail } from '../tail.js';
import { callForHeaders } from '../api.js';
import { Empty, Page, Problem, Tag, TextInput, useAction } from '../parts/basics.js';
import { EventBar, EventList, Save } from '../parts/events.js';

export default function Events({ parameters }) {
  const state = useStore();
  const subject = parameters.subject || firstPattern(state);
  const browsing = parameters.upto !== undefined;
  const set = (changes) => become('events', { ...parameters, subject, ...changes });
  const switches = html`<div class="switch" role="group" aria-label="Which events">
    <button type="button" aria-pressed=${!browsing} onClick=${() => set({ upto: null })}>Live</button>
    <button type="button" aria-pressed=${browsing} onClick=${() => set({ upto: 'newest', start: '' })}>Browse</button></div>`;
  if (!subject) {
    return html`<${Page} title="Events" hint=${state.about ? '' : 'Asking the server …'}>
      ${state.about && html`<${Empty} title="No events for you">Your token may subscribe to nothing, or there is no namespace yet.<//>`}<//>`;
  }
  return html`<${browsing ? Browse : Live} ...${{ subject, parameters, set, switches }} />`;
}

// -- Events as they come.

const STARTS = { newest: 'with the next', '-100': 'last 100', '15m': '15 min ago', '1h': '1 h ago', oldest: 'with the oldest' };

const STATES = {
  connecting: { tone: 'warn', words: 'connecting', empty: 'Connecting …' },
  open: { tone: 'good', words: 'live', empty: 'Waiting for events' },
  broken: { tone: 'bad', words: 'connecting again', empty: 'Not connected' },
  resting: { tone: 'warn', words: 'resting while other tabs are live; click to go on', empty: 'Resting' },
  refused: { tone: 'bad', words: 'refused', empty: 'Refused' },
  ended: { tone: '', words: 'ended', empty: 'Nothing came' },
};

function Live({ subject, parameters, set, switches }) {
  const { start = 'newest', filter, key, trace } = parameters;
  const [, redraw] = useState(0);
  const [selected, select] = useState(null);
  const tail = useRef(null);
  const matches = useMemo(() => matcher(parameters), [filter, key, trace]);
  useEffect(() => {
    tail.current = new Tail({ subject, start }, () => redraw((n) => n + 1));
    tail.current.filter(matches);
    select(null);
    return () => tail.current.close();
  }, [subject, start]);
  useEffect(() => tail.current?.filter(matches), [matches]);
  const now = tail.current;
  const rows = now?.rows || [];
  const pause = html`<button type="button" class=${now?.paused ? 'primary' : ''} data-key="space" onClick=${() => now.pause(!now.paused)}>
    ${now?.paused ? html`Go on${now.unseen ? html` <b class="count">${count(now.unseen)}</b>` : null}` : 'Pause'}</button>`;
  return html`<${Page} title="Events" actions=${html`${switches}${pause}<${Save} rows=${rows} />`}>
    <${EventBar} ...${{ subject, parameters, set }}>
      <label>Start<select value=${start} onChange=${(event) => set({ start: event.target.value })}>
        ${[...new Set([...Object.keys(STARTS), start])].map((one) => html`<option key=${one} value=${one}>${STARTS[one] || one}</option>`)}
      </select></label><//>
    ${now && html`<${State} tail=${now} />`}
    <${EventList} rows=${rows} selected=${selected} select=${select} empty=${html`
      <${Empty} title=${STATES[now?.state || 'connecting'].empty}>What matches <code>${subject}</code> appears here as it comes.<//>`} />
  <//>`;
}

function State({ tail: { state, received, problem, gap, paused, unseen } }) {
  const { tone, words } = STATES[state];
  const rests = paused && state === 'open';
  return html`<p class="state" role="status"><span><i class=${`dot ${rests ? 'warn' : tone}`}></i>${rests ? 'paused' : words}</span>
    <span>${plural(received, 'event')} received</span>
    ${paused && unseen > 0 ? html`<span>${count(unseen)} unseen</span>` : null}
    ${gap ? html`<${Tag} tone="warn">${count(gap.last_missing - gap.first_missing + 1)} missing: ${gap.reason}<//>` : null}
    ${problem && state !== 'open' ? html`<span class="bad">${problem.message}</span>` : null}</p>`;
}

// -- Events that are stored, the newest first, a page after the other.

const PAGE = 100;

function Browse({ subject, parameters, set, switches }) {
  const { upto, filter, key, trace } = parameters;
  const [found, setFound] = useState({ rows: [], next: null });
  const [selected, select] = useState(null);
  const [looking, error, run] = useAction();
  const more = (known, before) => run(async () => {
    const page = await pageOf(subject, before);
    setFound({ rows: [...known, ...page.rows], next: page.next });
  });
  const begin = () => { select(null); run(async () => setFound(await pageOf(subject, await beforeOf(upto, subject)))); };
  useEffect(begin, [subject, upto]);
  const rows = useMemo(() => found.rows.filter(matcher(parameters)), [found, filter, key, trace]);
  return html`<${Page} title="Events" actions=${html`${switches}
      <button type="button" onClick=${begin}>Reload</button><${Save} rows=${rows} />`}>
    <${EventBar} ...${{ subject, parameters, set }}>
      <label>Up to<${TextInput} class="from" placeholder="index, time or id" value=${upto === 'newest' ? '' : upto}
        change=${(text) => set({ upto: text || 'newest' })} /></label><//>
    <p class="state" role="status"><span>${plural(rows.length, 'event')}${rows.length < found.rows.length ? ` of ${found.rows.length} that were looked at` : ''}</span>
      ${found.next && html`<button type="button" class="plain link" disabled=${looking} onClick=${() => more(found.rows, found.next)}>Load older ones</button>`}
      ${upto !== 'newest' && html`<button type="button" class="plain link" onClick=${() => set({ upto: 'newest' })}>Newest</button>`}</p>
    <${Problem} error=${error} />
    <${EventList} rows=${rows} selected=${selected} select=${select} empty=${html`
      <${Empty} title=${looking ? 'Looking …' : 'Nothing found'}>No stored event here matches <code>${subject}</code>${filter || key || trace ? ' and the filter' : ''}.<//>`} />
  <//>`;
}

async function pageOf(subject, before) {
  return readPage((await callForHeaders('GET', '/v1/events', { query: { subject, before, limit: PAGE } })).text);
}

/** Before which index or time a page of *subject* begins whose first event is the one at *upto*. */
async function beforeOf(upto, subject) {
  if (upto === 'newest') return '';
  if (/^\d+$/.test(upto)) return String(Number(upto) + 1);
  if (/^\d{4}-/.test(upto)) return upto;
  return String((await readEvent(upto, subject)).event.index + 1);
}
