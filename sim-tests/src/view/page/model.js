// The run, as typed arrays: what it says of an event is found by the event's number.

const RUN = JSON.parse(document.getElementById("run").textContent);
const KIND = Object.fromEntries(RUN.kinds.map((name, number) => [name, number]));
const COUNT = RUN.events.kind.length;

/** What can be filtered; `row` is where it stands in the lane of a server. */
const GROUPS = [
  { name: "Violation", colour: "--bad", row: 0 },
  { name: "Steps", colour: "--strong", row: 0 },
  { name: "Faults", colour: "--bad", row: 0 },
  { name: "Processes and roles", colour: "--leader", row: 0 },
  { name: "Reports", colour: "--report", row: 0 },
  { name: "Links", colour: "--link", row: 0 },
  { name: "Votes", colour: "--vote", row: 1 },
  { name: "Packets", colour: "--proposal", row: 1 },
  { name: "Pings", colour: "--ping", row: 1 },
  { name: "Clients", colour: "--client", row: 2 },
  { name: "Client pings", colour: "--ping", row: 2 },
  { name: "Disk", colour: "--disk", row: 3 },
];
const G = { violation: 0, steps: 1, faults: 2, roles: 3, reports: 4, links: 5, votes: 6, packets: 7, pings: 8, clients: 9, clientPings: 10, disk: 11 };

const GROUP_OF_KIND = (() => {
  const of = {
    "step": G.steps, "fault": G.faults, "mended": G.faults, "power lost": G.faults, "stalled": G.faults,
    "disk room": G.faults, "process gone": G.roles, "process starts": G.roles, "role": G.roles, "report": G.reports,
    "disk asked": G.disk, "disk done": G.disk, "link up": G.links, "link down": G.links, "connects": G.links,
    "closed": G.links, "sent": G.packets, "heard": G.packets, "asks": G.clients, "takes": G.clients,
    "answers": G.clients, "gets": G.clients, "violation": G.violation,
  };
  return RUN.kinds.map((name) => of[name]);
})();

/** Kinds that have their other end at another lane, at the end where they begin. */
const BEGINS = new Uint8Array(RUN.kinds.length);
for (const name of ["sent", "asks", "answers"]) BEGINS[KIND[name]] = 1;

const EVENT = (() => {
  const e = RUN.events;
  const time = new Float64Array(COUNT), pair = new Int32Array(COUNT), cause = new Int32Array(COUNT);
  const other = new Int32Array(COUNT), group = new Uint8Array(COUNT);
  const isPing = RUN.texts.map((text) => /^PING\b/.test(text) || /^xid -2 /.test(text));
  const isVote = RUN.texts.map((text) => /^VOTE\b/.test(text));
  for (let i = 0, now = 0; i < COUNT; i++) {
    now += e.time[i];
    time[i] = now;
    pair[i] = e.pair[i] ? i + e.pair[i] : -1;
    cause[i] = e.cause[i] ? i + e.cause[i] : -1;
    other[i] = e.other[i] - 1;
    let g = GROUP_OF_KIND[e.kind[i]];
    if (g === G.packets) g = isVote[e.text[i]] ? G.votes : isPing[e.text[i]] ? G.pings : g;
    else if (g === G.clients && isPing[e.text[i]]) g = G.clientPings;
    group[i] = g;
  }
  return {
    time, pair, cause, other, group,
    lane: Int32Array.from(e.lane), kind: Uint8Array.from(e.kind), text: Uint32Array.from(e.text), lasted: e.lasted,
  };
})();

/** Lanes in the order in which they stand below each other. */
const LANES = (() => {
  const all = RUN.lanes.map((name, number) => {
    const [, kind, id] = /^(world|server|client) ?(-?\d*)/.exec(name);
    return { name, number, kind, id: Number(id || 0), shown: true, server: null, client: null };
  });
  for (const track of RUN.servers) all[track.lane].server = serverTrack(track);
  for (const track of RUN.clients) all[track.lane].client = track;
  const rank = { world: 0, server: 1, client: 2 };
  return { all, order: [...all].sort((a, b) => rank[a.kind] - rank[b.kind] || a.id - b.id) };
})();

/** A server's track, with the places where its role changes. */
function serverTrack(track) {
  const changes = [];
  track.role.forEach((role, k) => {
    if (k === 0 || track.role[k - 1] !== role) changes.push({ at: track.at[k], role });
  });
  return { ...track, changes };
}

/** First place in a sorted list whose value is not below `value`. */
function lowerBound(list, value, key = (x) => x, from = 0) {
  let low = from, high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (key(list[middle]) < value) low = middle + 1; else high = middle;
  }
  return low;
}

/** Number of the sample that holds at an event; −1 where there is none yet. */
function sampleAt(track, event) {
  return lowerBound(track.at, event + 1) - 1;
}

const textOf = (i) => RUN.texts[EVENT.text[i]];
const laneOf = (i) => LANES.all[EVENT.lane[i]];
const kindOf = (i) => RUN.kinds[EVENT.kind[i]];
const rowOf = (i) => GROUPS[EVENT.group[i]].row;

/** Simulated time in seconds, to the microsecond. */
function clock(us) {
  return `${(us / 1e6).toFixed(6)} s`;
}

/** How long something took. */
function span(us) {
  if (us < 1000) return `${us} µs`;
  return us < 1e6 ? `${(us / 1000).toFixed(us < 1e4 ? 2 : 1)} ms` : `${(us / 1e6).toFixed(2)} s`;
}

const REPLY = /^(?:xid (-?\d+) |event (\w+) (.*) )at (0x[0-9a-f]+) ?(.*)$/s;

/** A word or two beside a mark or an arrow. */
function shortText(i) {
  if (EVENT.kind[i] === KIND["violation"]) return cut(textOf(i), 200);
  const reply = REPLY.exec(textOf(i));
  if (reply) {
    const op = EVENT.cause[i] >= 0 ? /^xid -?\d+ (\w+)/.exec(textOf(EVENT.cause[i]))?.[1] : null;
    return reply[2] ? `${reply[2]} ${reply[3]}` : `${op ?? "answer"}: ${reply[5]}`;
  }
  const text = textOf(i).replace(/^xid -?\d+ /, "");
  const end = text.search(/[,:(]/);
  return cut(end > 0 ? text.slice(0, end).trim() : text, 34);
}

function cut(text, length) {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}

const VIOLATION = EVENT.kind.lastIndexOf(KIND["violation"]);
