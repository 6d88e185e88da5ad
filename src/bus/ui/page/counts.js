// What is known of the server: all there is at first, then what has changed.

export const NOTHING = { time: '', server: null, namespaces: new Map(), consumers: new Map() };

/** What is known after *changes*, as the server pushes them; what was *known* stays as it is. */
export function learned(known, changes) {
  const before = changes.full ? NOTHING : known;
  return {
    time: changes.time,
    server: changes.server || before.server,
    namespaces: rows(before.namespaces, changes.namespaces, 'namespace', changes.gone?.namespaces),
    consumers: rows(before.consumers, changes.consumers, 'name', changes.gone?.consumers),
  };
}

function rows(before, changed = [], key, gone = []) {
  if (!changed.length && !gone.length) return before;
  const after = new Map(before);
  for (const row of changed) after.set(row[key], row);
  for (const name of gone) after.delete(name);
  return after;
}

/** All that is known, for somebody who knows nothing. */
export const everything = ({ time, server, namespaces, consumers }) =>
  ({ full: true, time, server, namespaces: [...namespaces.values()], consumers: [...consumers.values()] });

// -- How the counters went in the last minutes, a point for each time they were told.

const REMEMBERED = 300;

export class History {
  times = [];
  published = [];
  delivered = [];
  namespaces = new Map();
  consumers = new Map();

  /** Take in what is known *now*, when it was *before*. */
  add(before, now) {
    const seconds = (Date.parse(now.time) - Date.parse(before.time)) / 1000;
    if (!(seconds > 0)) return;
    push(this.times, Date.parse(now.time) / 1000);
    push(this.published, this.#rates('published', before, now, seconds));
    push(this.delivered, this.#rates('delivered', before, now, seconds));
    for (const [name, row] of now.consumers) {
      const series = entry(this.consumers, name, () => ({ times: [], behind: [], inFlight: [] }));
      push(series.times, Date.parse(now.time) / 1000);
      push(series.behind, row.behind);
      push(series.inFlight, row.in_flight);
    }
  }

  /** How many a second in all; each namespace's own is noted. */
  #rates(counter, before, now, seconds) {
    let all = 0;
    for (const [name, row] of now.namespaces) {
      const earlier = before.namespaces.get(name) || row;
      const rate = Math.max(0, row[counter] - earlier[counter]) / seconds;
      push(entry(this.namespaces, name, () => ({ published: [], delivered: [] }))[counter], rate);
      all += rate;
    }
    return all;
  }
}

function entry(map, key, make) {
  if (!map.has(key)) map.set(key, make());
  return map.get(key);
}

function push(series, value) {
  series.push(value);
  if (series.length > REMEMBERED) series.shift();
}

export const lastOf = (series) => (series?.length ? series[series.length - 1] : null);
