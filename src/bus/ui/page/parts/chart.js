// Lines over time, as SVG: one with axes that tells what stands under the pointer, and a small one for tables.

import { html, useEffect, useRef, useState } from '../vendor/preact-htm.js';

const LEFT = 56;
const BOTTOM = 20;
const TOP = 8;
const SHORTEST = 60;

/** A chart of *series*, [{label, values, colour}], over *times* in seconds; *format* writes a value. */
export function Chart({ times, series, format, label, height = 170 }) {
  const place = useRef(null);
  const [width, setWidth] = useState(0);
  const [at, setAt] = useState(null);
  useEffect(() => {
    const sizes = new ResizeObserver(() => setWidth(place.current.clientWidth));
    sizes.observe(place.current);
    return () => sizes.disconnect();
  }, []);
  const scale = scaleOf(times, series, width, height);
  const point = (event) => setAt(nearest(times, scale.time(event.clientX - place.current.getBoundingClientRect().left)));
  const shown = at !== null && at < times.length ? at : null;
  return html`<figure class="chart">
    <figcaption>${series.map((one) => html`<span key=${one.label}><i class=${`key ${one.colour}`}></i>${one.label}
      <b>${format(one.values[shown ?? one.values.length - 1] ?? 0)}</b></span>`)}
      ${shown !== null && html`<time>${clock(times[shown])}</time>`}</figcaption>
    <div ref=${place} class="plot" style=${{ height: `${height}px` }} onPointerMove=${point} onPointerLeave=${() => setAt(null)}>
      ${width > 0 && html`<svg width=${width} height=${height} role="img" aria-label=${label}>
        ${scale.values.map((value) => html`<g key=${value}><line class="grid" x1=${LEFT} x2=${width} y1=${scale.y(value)} y2=${scale.y(value)} />
          <text x=${LEFT - 8} y=${scale.y(value) + 4} text-anchor="end">${format(value)}</text></g>`)}
        ${scale.times.map((time) => html`<text key=${time} x=${scale.x(time)} y=${height - 4} text-anchor="middle">${clock(time)}</text>`)}
        ${times.length > 1 && series.map((one) => html`<${Line} key=${one.label} ...${one} times=${times} scale=${scale} />`)}
        ${shown !== null && html`<line class="cursor" x1=${scale.x(times[shown])} x2=${scale.x(times[shown])} y1=${TOP} y2=${height - BOTTOM} />`}
      </svg>`}</div></figure>`;
}

function Line({ times, values, colour, fill, scale }) {
  const points = values.map((value, at) => `${scale.x(times[at]).toFixed(1)},${scale.y(value).toFixed(1)}`);
  const ground = scale.y(0);
  const edge = (at) => `${scale.x(times[at]).toFixed(1)},${ground}`;
  return html`${fill && html`<polygon class=${colour} points=${[edge(0), ...points, edge(values.length - 1)].join(' ')} />`}
    <polyline class=${colour} points=${points.join(' ')} />`;
}

/** Where times and values stand, and which of them are written at the axes. */
function scaleOf(times, series, width, height) {
  const last = times[times.length - 1] ?? Date.now() / 1000;
  const first = Math.min(times[0] ?? last, last - SHORTEST);
  const peak = series.reduce((most, one) => Math.max(most, ...one.values), 1);
  const step = Math.max(1, roundUp(peak / 4));
  const most = step * Math.ceil(peak / step);
  const apart = [10, 15, 30, 60, 120, 300].find((one) => (width - LEFT) / ((last - first) / one) > 70) || 300;
  return {
    x: (time) => LEFT + ((time - first) / (last - first)) * (width - LEFT),
    y: (value) => height - BOTTOM - (value / most) * (height - BOTTOM - TOP),
    time: (x) => first + ((x - LEFT) / (width - LEFT)) * (last - first),
    values: Array.from({ length: Math.round(most / step) + 1 }, (_, at) => at * step),
    times: multiples(apart, first + apart / 3, last - apart / 3),
  };
}

/** The next of 1, 2, 5, 10, 20 … */
function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return power * [1, 2, 5, 10].find((one) => one * power >= value);
}

function multiples(step, from, to) {
  const found = [];
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) found.push(at);
  return found;
}

function nearest(times, time) {
  const at = times.findIndex((one) => one >= time);
  return at < 0 ? times.length - 1 : at;
}

const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString('sv');

/** A line without axes, of the last minute. */
export function Sparkline({ values: all = [], label }) {
  const values = all.slice(-SHORTEST);
  const most = Math.max(...values, 1e-9);
  const step = 100 / Math.max(values.length - 1, 1);
  const points = values.map((value, at) => `${(at * step).toFixed(1)},${(22 - (value / most) * 20).toFixed(1)}`);
  return html`<svg class="sparkline" viewBox="0 0 100 24" preserveAspectRatio="none" role="img" aria-label=${label}>
    ${points.length > 1 && html`<polyline points=${points.join(' ')} />`}</svg>`;
}
