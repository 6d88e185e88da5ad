// Publishing by hand: one event, several of a kind, later, or a request that waits for its reply.

import { html, useEffect, useState } from '../vendor/preact-htm.js';
import { callForHeaders } from '../api.js';
import { address } from '../router.js';
import { readEvent } from '../event_line.js';
import { Facts, Form, Page, Panel, Problem, SubjectInput, useAction } from '../parts/basics.js';

const MOST = 10_000;
const FRESH = { subject: '', payload: '{\n  \n}', key: '', headers: '', delay: '', count: 1, reply: false, timeout: '5s' };

export default function Publish({ parameters }) {
  const [form, setForm] = useState({ ...FRESH, subject: parameters.subject || '' });
  const [result, setResult] = useState(null);
  const [doing, error, run] = useAction();
  const set = (name) => (event) => setForm({ ...form, [name]: event.target.type === 'checkbox' ? event.target.checked : event.target.value });
  useEffect(() => { if (parameters.again) run(async () => setForm(await formOf(parameters.again, parameters.subject))); }, [parameters.again]);
  const fault = faultOf(form);
  const submit = () => {
    setResult(null);
    run(async () => setResult(await publish(form)));
  };
  return html`<${Page} title="Publish" hint="An event is stored when its receipt is shown.">
    <div class="columns">
      <${Panel}><${Form} submit=${submit}>
        <label>Subject<${SubjectInput} value=${form.subject} placeholder="orders.created" name="subject" onInput=${set('subject')} /></label>
        <label>Payload<textarea class="code" name="payload" rows="12" spellcheck="false" aria-invalid=${Boolean(fault)}
          aria-describedby="fault" value=${form.payload} onInput=${set('payload')}></textarea></label>
        <p id="fault" class=${fault ? 'bad' : 'muted'} role="status">${fault || 'JSON, published as it stands.'}</p>
        <div class="pair">
          <label>Key<input name="key" value=${form.key} onInput=${set('key')} placeholder="none" /></label>
          <label>Delay<input name="delay" value=${form.delay} onInput=${set('delay')} placeholder="none, or 15m" disabled=${form.reply} /></label>
        </div>
        <label>Headers<textarea class="code" name="headers" rows="2" spellcheck="false" placeholder="name: value" value=${form.headers} onInput=${set('headers')}></textarea></label>
        <div class="pair">
          <label>How many<input name="count" type="number" min="1" max=${MOST} value=${form.count} onInput=${set('count')} disabled=${form.reply} /></label>
          <label>Wait for its reply<span class="check"><input type="checkbox" name="reply" checked=${form.reply} onChange=${set('reply')} />
            <input aria-label="How long" value=${form.timeout} onInput=${set('timeout')} disabled=${!form.reply} /></span></label>
        </div>
        <div class="actions"><button class="primary" disabled=${doing || Boolean(fault) || !form.subject}>${doing ? 'Publishing …' : form.reply ? 'Ask' : 'Publish'}</button></div>
      <//><//>
      <div><${Problem} error=${error} />${result && html`<${Receipt} ...${result} />`}</div>
    </div><//>`;
}

function Receipt({ subject, headers, text }) {
  const of = (name) => headers.get(`x-bus-${name}`);
  const index = of('event-index');
  return html`<${Panel} title=${of('schedule-id') ? 'Scheduled' : 'Stored'}>
    <div aria-live="polite"><${Facts} rows=${[
      ['Subject', subject],
      ['Index', index && html`<a href=${address('events', { subject: `${subject.split('.')[0]}.>`, upto: index })}>${index}</a>`],
      ['Id', html`<code>${of('event-id')}</code>`], ['Schedule', of('schedule-id')], ['Time', of('event-created-at')],
      ['Events', of('event-count')], ['Durability', of('durability')],
    ]} />
    ${text && html`<h3>Reply</h3><pre class="raw">${text}</pre>`}</div><//>`;
}

/** What is wrong with the form, in a line; empty if nothing is. */
function faultOf({ payload, headers }) {
  try { if (payload.trim()) JSON.parse(payload); } catch (error) { return `The payload is no JSON: ${error.message}`; }
  const bad = lines(headers).find((line) => !/^[^\s:]+\s*:/.test(line));
  return bad ? `A header is "name: value", not "${bad}"` : '';
}

const lines = (text) => text.split('\n').filter((line) => line.trim());

function headersOf(text) {
  const found = lines(text).map((line) => [line.slice(0, line.indexOf(':')).trim(), line.slice(line.indexOf(':') + 1).trim()]);
  return found.length ? Object.fromEntries(found) : undefined;
}

/** The payload goes as it was written; the rest is encoded around it. */
function bodyOf(form) {
  const rest = JSON.stringify({ key: form.key || undefined, headers: headersOf(form.headers) }).slice(1, -1);
  const one = `{"subject":${JSON.stringify(form.subject)},"payload":${form.payload.trim() || 'null'}${rest && `,${rest}`}}`;
  return Number(form.count) > 1 && !form.reply ? `[${Array(Math.min(form.count, MOST)).fill(one).join(',')}]` : one;
}

async function publish(form) {
  const query = form.reply ? { wait: 'reply', timeout: form.timeout } : { delay: form.delay };
  const answer = await callForHeaders('POST', '/', { query, body: bodyOf(form), headers: { 'Content-Type': 'application/json' } });
  return { ...answer, subject: form.subject };
}

/** The form that publishes the event *id*, which is on *subject*, again. */
async function formOf(id, subject) {
  const row = await readEvent(id, subject);
  const { key, headers } = row.event;
  return { ...FRESH, subject: row.event.subject, payload: row.payloadText, key: key || '',
    headers: Object.entries(headers || {}).map(([name, value]) => `${name}: ${value}`).join('\n') };
}
