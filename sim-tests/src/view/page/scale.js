// What is shown, and where it stands: filters, the two scales, and the stretch in view.

/** Places of events: µs, or how many are shown before. */
const place = new Float64Array(COUNT);
const view = { from: 0, to: 1, even: false, scroll: 0, chosen: -1, hover: -1 };
const groupShown = new Uint8Array(GROUPS.length).fill(1);

/** Numbers of the events that are shown, all of them and by lane and row; `sends` are those that an arrow begins at. */
const shown = { all: new Int32Array(0), rows: [], sends: new Int32Array(0), faults: new Int32Array(0), lateEnds: null };
/** Events that share one bound of how far their arrows reach. */
const BLOCK = 512;

function refilter() {
  const ok = (i) => groupShown[EVENT.group[i]] && LANES.all[EVENT.lane[i]].shown;
  const sizes = LANES.all.map(() => new Int32Array(4));
  let count = 0, sends = 0, faults = 0;
  for (let i = 0; i < COUNT; i++) {
    if (!ok(i)) continue;
    count++;
    sizes[EVENT.lane[i]][rowOf(i)]++;
    sends += BEGINS[EVENT.kind[i]];
    faults += EVENT.group[i] === G.faults;
  }
  shown.all = new Int32Array(count);
  shown.sends = new Int32Array(sends);
  shown.faults = new Int32Array(faults);
  shown.rows = sizes.map((rows) => [...rows].map((size) => new Int32Array(size)));
  const next = LANES.all.map(() => [0, 0, 0, 0]);
  let a = 0, s = 0, f = 0;
  for (let i = 0; i < COUNT; i++) {
    if (!ok(i)) continue;
    const lane = EVENT.lane[i], row = rowOf(i);
    shown.all[a++] = i;
    shown.rows[lane][row][next[lane][row]++] = i;
    if (BEGINS[EVENT.kind[i]]) shown.sends[s++] = i;
    if (EVENT.group[i] === G.faults) shown.faults[f++] = i;
  }
  // An arrow may begin long before the view and end in it; a bound per block finds those without looking at all.
  shown.lateEnds = new Int32Array(Math.ceil(sends / BLOCK)).fill(-1);
  shown.sends.forEach((i, k) => {
    const b = Math.floor(k / BLOCK);
    shown.lateEnds[b] = Math.max(shown.lateEnds[b], EVENT.pair[i]);
  });
}

/** Gives events their places. What is at the middle of the view, or chosen, stays where it is. */
function rescale(even) {
  const anchor = COUNT ? (view.chosen >= 0 ? view.chosen : nearest((view.from + view.to) / 2)) : 0;
  const before = countIn(view.from, view.to);
  view.even = even;
  replace();
  if (COUNT) around(anchor, Math.max(before, 8));
}

function replace() {
  if (!view.even) {
    place.set(EVENT.time);
    return;
  }
  for (let i = 0, k = 0; i < COUNT; i++) {
    place[i] = k;
    if (shown.all[k] === i) k++;
  }
}

const placeOf = (i) => place[i];
const extent = () => (COUNT ? [place[0], Math.max(place[COUNT - 1], place[0] + 1)] : [0, 1]);
const smallest = () => (view.even ? 4 : 10);

/** How many shown events stand in a stretch. */
function countIn(from, to) {
  return lowerBound(shown.all, to, placeOf) - lowerBound(shown.all, from, placeOf);
}

/** The shown event nearest to a place, −1 if none is shown. */
function nearest(at, list = shown.all) {
  if (!list.length) return -1;
  const k = lowerBound(list, at, placeOf);
  if (k === 0) return list[0];
  if (k === list.length) return list[k - 1];
  return place[list[k]] - at < at - place[list[k - 1]] ? list[k] : list[k - 1];
}

/** Looks at a stretch; it stays near the run and never becomes so small that numbers lose their meaning. */
function look(from, to) {
  const [first, last] = extent();
  const all = (last - first) * 1.04 + smallest();
  let width = Math.min(Math.max(to - from, smallest()), all);
  const middle = (from + to) / 2;
  let start = middle - width / 2;
  start = Math.max(start, first - width / 2);
  start = Math.min(start, last - width / 2);
  view.from = start;
  view.to = start + width;
}

function lookAtAll() {
  const [first, last] = extent();
  const margin = (last - first) * 0.02 + smallest() / 2;
  look(first - margin, last + margin);
}

/** Looks at an event and about so many around it, with more room before it than behind: it has its causes there. */
function around(i, count = 60) {
  const k = lowerBound(shown.all, i);
  const first = shown.all[Math.max(0, k - Math.ceil(count * 0.7))] ?? i;
  const last = shown.all[Math.min(shown.all.length - 1, k + Math.ceil(count * 0.3))] ?? i;
  const from = place[first], to = Math.max(place[last], place[i]);
  // A long silence before or behind would squeeze the rest into a line: no side gets more than five times the other.
  const half = Math.max(to - place[i], place[i] - from, smallest() / 2);
  const left = Math.min(place[i] - from, half), right = Math.max(to - place[i], left * 0.2);
  const margin = (left + Math.min(right, left + smallest())) * 0.06 + smallest() / 4;
  look(place[i] - left - margin, place[i] + Math.min(right, Math.max(left, smallest())) + margin);
}

/** Zooms by a factor; what stands at `at` stays there. */
function zoom(factor, at = (view.from + view.to) / 2) {
  look(at - (at - view.from) * factor, at + (view.to - at) * factor);
}

function pan(by) {
  look(view.from + by, view.to + by);
}
