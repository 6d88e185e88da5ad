// A live tail: the newest lines of a stream in a ring, told of once a frame, whatever comes in between.
//
//     connecting ─▶ open ─▶ broken ─▶ connecting …
//                    │  ▲
//         hidden, or ▼  │ looked at
//      lease taken  resting
//
// All tabs of a browser have but few connections. So a tail that is hidden gives its own back, and so does one whose
// lease another tab takes (`claim`); when somebody looks at it again, it goes on with the newest lines.

import { readLines } from './api.js';
import { EventLine } from './event_line.js';
import { claim, release } from './store.js';

const RING = 2000;
const LOOKS = [[document, 'visibilitychange'], [window, 'focus'], [window, 'pointerdown'], [window, 'keydown']];
const WAITS = [250, 500, 1000, 2000, 4000];

export class Tail {
  rows = [];
  received = 0;
  unseen = 0;
  paused = false;
  state = 'connecting';
  problem = null;
  gap = null;
  #all = [];
  #kept = [];
  #abort = null;
  #frame = 0;
  #last = null;
  #matches = () => true;

  constructor(query, changed) {
    this.query = query;
    this.changed = changed;
    this.look = () => (document.hidden ? this.#rest() : this.#run());
    for (const [target, type] of LOOKS) target.addEventListener(type, this.look);
    this.#run();
  }

  /** Show only rows that *matches* takes, of those that are here already as well. */
  filter(matches) {
    const all = new Set(this.#all);
    this.#matches = matches;
    this.#kept = [...this.#kept.filter((row) => !all.has(row)), ...this.#all].filter(matches);
    if (this.paused) this.rows = this.rows.filter(matches);
    this.#soon();
  }

  pause(paused) {
    this.paused = paused;
    if (!paused) this.unseen = 0;
    this.#soon();
  }

  close() {
    for (const [target, type] of LOOKS) target.removeEventListener(type, this.look);
    this.#leave();
    cancelAnimationFrame(this.#frame);
  }

  #rest() {
    this.#leave();
    this.#become('resting', null);
  }

  #leave() {
    if (!this.#abort) return;
    this.#abort.abort();
    this.#abort = null;
    release();
  }

  async #run() {
    if (this.#abort || document.hidden) return;
    const { signal } = (this.#abort = new AbortController());
    claim(() => this.#rest());
    const opened = () => this.#become('open', null);
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        await readLines('/', this.#from(), { opened, take: (lines) => { failures = 0; this.#take(lines); }, signal });
        this.#become('ended');
        return;
      } catch (error) {
        if (signal.aborted) return;
        if (error.status >= 400 && error.status < 500) { this.#become('refused', error); return; }
        this.#become('broken', this.problem || error);
      }
      await new Promise((resolve) => setTimeout(resolve, WAITS[Math.min(failures, WAITS.length - 1)]));
    }
  }

  /** Where to begin: where it was said; after a break, behind the last line; after a while away, with the newest. */
  #from() {
    if (!this.#last) return this.query;
    return this.state === 'broken'
      ? { ...this.query, start: '', last_event_id: this.#last.event.id }
      : { ...this.query, start: `-${RING}` };
  }

  #take(lines) {
    const rows = lines.filter((line) => !this.#notice(line)).map((line) => new EventLine(line));
    for (const row of this.#unknown(rows)) this.#add(row);
    this.#soon();
  }

  /** Those that weren't here before: rows are in the order of their indexes. */
  #unknown(rows) {
    const before = this.#last?.event.index ?? 0;
    if (!rows.length || rows.at(-1).event.index <= before) return [];
    this.#last = rows.at(-1);
    return rows[0].event.index > before ? rows : rows.filter((row) => row.event.index > before);
  }

  #add(row) {
    this.received++;
    this.#all = put(this.#all, row);
    if (!this.#matches(row)) return;
    this.#kept = put(this.#kept, row);
    if (this.paused) this.unseen++;
  }

  /** Whether a line tells something besides events. */
  #notice(line) {
    if (!line.startsWith('{"event":')) return false;
    const notice = JSON.parse(line);
    if (notice.event === 'gap') this.gap = notice;
    if (notice.reason === 'unknown') this.#last = null;
    if (notice.event === 'error') this.problem = new Error(notice.message);
    return true;
  }

  #become(state, problem = this.problem) {
    this.state = state;
    this.problem = problem;
    this.#soon();
  }

  #soon() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      if (!this.paused) this.rows = this.#kept.slice(-RING).reverse();
      this.changed();
    });
  }
}

/** *ring* with *row* behind, and without its oldest rows now and then. */
function put(ring, row) {
  ring.push(row);
  return ring.length < 2 * RING ? ring : ring.slice(-RING);
}
