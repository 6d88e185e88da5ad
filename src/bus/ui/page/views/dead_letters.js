// What durable consumers gave up, by consumer and reason: have a look, send it back, or let it go.

import { html, useMemo, useState } from '../vendor/preact-htm.js';
import { call, consumerPath } from '../api.js';
import { readEvent } from '../event_line.js';
import { ago, count, plural } from '../format.js';
import { become } from '../router.js';
import { mayManage, useStore } from '../store.js';
import { Dialog, Empty, FilterInput, Form, Page, Panel, Problem, Table, useAction, useLoaded, useMore } from '../parts/basics.js';
import { EventDetail } from '../parts/events.js';

const AT_ONCE = 200;

export default function DeadLetters({ parameters }) {
  const { known } = useStore();
  const all = [...known.consumers.values()].filter((one) => one.dead);
  const chosen = all.filter((one) => !parameters.consumer || one.name === parameters.consumer);
  const [letters, error, reload] = useLoaded(() => loadAll(chosen), [chosen.map((one) => `${one.name} ${one.dead}`).join()]);
  const [selected, select] = useState(null);
  const groups = useMemo(() => groupsOf(letters || [], parameters.filter || ''), [letters, parameters.filter]);
  const set = (changes) => become('dead', { ...parameters, ...changes });
  return html`<${Page} title="Dead letters" hint="Events that a consumer rejected, or that failed as often as they may.">
    <${Form} kind="bar">
      <label>Consumer<select value=${parameters.consumer || ''} onChange=${(event) => set({ consumer: event.target.value })}>
        <option value="">all</option>${all.map((one) => html`<option key=${one.name} value=${one.name}>${one.name} (${count(one.dead)})</option>`)}</select></label>
      <${FilterInput} hint="text in subject or reason" value=${parameters.filter} change=${(text) => set({ filter: text })} /><//>
    <${Problem} error=${error} />
    ${groups.length ? html`<div class=${`split tall ${selected ? 'open' : ''}`}>
      <div>${groups.map((group) => html`<${Group} key=${group.key} group=${group} selected=${selected} select=${select} done=${reload} />`)}</div>
      ${selected && html`<div class="side"><${Letter} key=${selected.event_id} letter=${selected} close=${() => select(null)} /></div>`}
    </div>` : html`<${Panel}><${Empty} title=${known.time && (letters || !chosen.length) ? 'No dead letters' : 'Looking …'}>Whatever a consumer gives up is kept here until somebody decides.<//><//>`}
  <//>`;
}

async function loadAll(consumers) {
  const found = await Promise.all(consumers.map(async ({ name }) => {
    const { dead } = await call('GET', consumerPath(name, 'dead'));
    return dead.map((letter) => ({ ...letter, consumer: name }));
  }));
  return found.flat();
}

/** Letters of one consumer and reason, the most first. */
function groupsOf(letters, filter) {
  const groups = new Map();
  const word = filter.toLowerCase();
  for (const letter of letters) {
    if (!`${letter.subject} ${letter.reason}`.toLowerCase().includes(word)) continue;
    const key = JSON.stringify([letter.consumer, letter.reason]);
    if (!groups.has(key)) groups.set(key, { key, consumer: letter.consumer, reason: letter.reason, letters: [] });
    groups.get(key).letters.push(letter);
  }
  return [...groups.values()].sort((a, b) => b.letters.length - a.letters.length);
}

function Group({ group, selected, select, done }) {
  const state = useStore();
  const one = state.known.consumers.get(group.consumer);
  const [marked, setMarked] = useState(new Set());
  const [dropping, setDropping] = useState(false);
  const [doing, error, run] = useAction();
  const { consumer, reason, letters } = group;
  const [shown, more] = useMore(letters);
  const here = letters.filter(({ index }) => marked.has(index));
  const meant = here.length ? here : letters;
  const act = (method) => run(async () => {
    const found = meant.map(({ index }) => index);
    for (let at = 0; at < found.length; at += AT_ONCE) {
      await call(method, consumerPath(consumer, 'dead'), { query: { index: found.slice(at, at + AT_ONCE).join() } });
    }
    setMarked(new Set());
    setDropping(false);
    done();
  });
  const mark = (index) => setMarked((before) => { const next = new Set(before); if (!next.delete(index)) next.add(index); return next; });
  const words = here.length ? `${count(here.length)} marked` : 'all';
  return html`<${Panel} flush title=${html`<span class="break">${reason || 'no reason given'}</span> <span class="count">${count(letters.length)}</span>`}
    aside=${one && mayManage(state, one) && html`<button type="button" disabled=${doing} onClick=${() => act('POST')}>Redrive ${words}</button>
      <button type="button" class="danger" disabled=${doing} onClick=${() => setDropping(true)}>Drop ${words} …</button>`}>
    <p class="muted pad">of <a href=${`#/consumers/${encodeURIComponent(consumer)}`}>${consumer}</a></p>
    <${Problem} error=${error} />
    <${Table} head=${[[html`<span class="hidden">Marked</span>`, 'mark'], ['Index', 'n'], ['Subject'], ['Attempts', 'n'], ['Given up']]}>
      ${shown.map((letter) => html`<tr key=${letter.index} aria-selected=${letter === selected}>
        <td class="mark"><input type="checkbox" aria-label=${`Mark ${letter.index}`} checked=${marked.has(letter.index)} onChange=${() => mark(letter.index)} /></td>
        <td class="n">${letter.index}</td>
        <td class="name"><button type="button" class="plain link break" onClick=${() => select(letter)}>${letter.subject}</button></td>
        <td class="n">${letter.attempts}</td><td class="time">${ago(new Date(letter.time / 1e6).toISOString())} ago</td></tr>`)}<//>
    ${more}
    ${dropping && html`<${Dialog} title="Drop dead letters" close=${() => setDropping(false)}>
      <p>${plural(meant.length, 'dead letter')} of ${consumer} will not be delivered again. The events stay where they are in the log.</p>
      <div class="actions end"><button type="button" class="danger" disabled=${doing} onClick=${() => act('DELETE')}>Drop</button></div><//>`}
  <//>`;
}

function Letter({ letter, close }) {
  const [row, error] = useLoaded(() => readEvent(letter.event_id, letter.subject), [letter.event_id]);
  if (error) return html`<${Problem} error=${error} /><button type="button" onClick=${close}>Close</button>`;
  return row ? html`<${EventDetail} row=${row} close=${close} />` : html`<p class="muted">Looking …</p>`;
}
