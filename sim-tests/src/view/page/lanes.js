// Lanes: where they stand, what their owner is, how far its disk has come.

const HEAD = 196, AXIS = 24;
const ROW = 15, ROW_MAX = 30, STRIP = 24;
const ROWS_OF = { world: 1, server: 4, client: 1 };
const paint = { ctx: null, width: 0, height: 0, marks: [], arrows: [] };

const plotWidth = () => Math.max(paint.width - HEAD, 10);
const xOf = (at) => HEAD + ((at - view.from) / (view.to - view.from)) * plotWidth();
const x = (i) => xOf(place[i]);
const atX = (px) => view.from + ((px - HEAD) / plotWidth()) * (view.to - view.from);

/** Gives lanes their heights, more where there is room; returns how high all of them are. */
function layOut() {
  const lanes = LANES.order.filter((lane) => lane.shown);
  const rows = lanes.reduce((sum, lane) => sum + ROWS_OF[lane.kind], 0);
  const strips = lanes.filter((lane) => lane.server).length;
  // A strip grows like a row.
  const fixed = lanes.length * 14 + strips * (STRIP - ROW);
  const room = Math.floor((picture.clientHeight - AXIS - fixed) / Math.max(rows + strips, 1));
  paint.row = Math.min(ROW_MAX, Math.max(ROW, room));
  paint.strip = STRIP + paint.row - ROW;
  let y = 0;
  for (const lane of LANES.order) {
    lane.height = !lane.shown ? 0 : 14 + ROWS_OF[lane.kind] * paint.row + (lane.server ? paint.strip : 0);
    lane.top = y;
    y += lane.height;
  }
  return y;
}

/** Where a row of a lane stands on the canvas. */
function rowY(lane, row) {
  const rows = ROWS_OF[lane.kind];
  return AXIS + lane.top - view.scroll + 12 + (Math.min(row, rows - 1) + 0.5) * paint.row;
}
const yOf = (i) => rowY(laneOf(i), rowOf(i));

function visibleLanes() {
  const bottom = paint.height - AXIS + view.scroll;
  return LANES.order.filter((lane) => lane.height && lane.top < bottom && lane.top + lane.height > view.scroll);
}

/** The moment that the texts beside the lanes are about. */
function momentShown() {
  if (view.chosen >= 0 && place[view.chosen] >= view.from && place[view.chosen] <= view.to) return view.chosen;
  if (!COUNT) return -1;
  return Math.max(0, lowerBound(place, view.to) - 1);
}

function drawLane(lane) {
  const { ctx, width } = paint;
  const top = AXIS + lane.top - view.scroll;
  ctx.fillStyle = colours["--lane"];
  ctx.fillRect(HEAD, top + 3, width - HEAD, lane.height - 6);
  if (lane.server) {
    drawRoles(lane, top);
    drawStalls(lane, top);
    drawWatermarks(lane, top + lane.height - paint.strip - 3);
  } else if (lane.client) {
    drawConnections(lane, top);
  }
  ctx.fillStyle = colours["--edge"];
  ctx.fillRect(0, top + lane.height - 0.5, width, 0.5);
}

/** Draws what holds from one change to the next; `changes` are places of a list sorted by event. */
function drawSpans(changes, draw) {
  const first = Math.max(0, lowerBound(changes, view.from, (c) => place[c.at]) - 1);
  for (let k = first; k < changes.length; k++) {
    const left = Math.max(HEAD, x(changes[k].at));
    if (left > paint.width) break;
    const right = k + 1 < changes.length ? Math.min(paint.width, x(changes[k + 1].at)) : paint.width;
    if (right > HEAD) draw(changes[k], left, Math.max(right - left, 1));
  }
}

function drawRoles(lane, top) {
  const { ctx } = paint;
  ctx.font = "600 10px system-ui, sans-serif";
  drawSpans(lane.server.changes, ({ role }, left, width) => {
    const colour = colours[ROLE_COLOUR[role]];
    ctx.fillStyle = colour;
    ctx.globalAlpha = role === 0 ? 0.2 : 0.1;
    ctx.fillRect(left, top + 3, width, lane.height - 6);
    ctx.globalAlpha = 1;
    ctx.fillRect(left, top + 3, width, 3);
    if (role === 0) hatch(left, top + 6, width, lane.height - 9, colour);
    const name = RUN.roles[role];
    if (width > ctx.measureText(name).width + 12) ctx.fillText(name, left + 5, top + 15);
  });
}

function hatch(left, top, width, height, colour) {
  const { ctx } = paint;
  ctx.save();
  ctx.beginPath();
  ctx.rect(left, top, width, height);
  ctx.clip();
  ctx.strokeStyle = colour;
  ctx.globalAlpha = 0.3;
  ctx.lineWidth = 1;
  ctx.beginPath();
  for (let at = left - height; at < left + width; at += 9) {
    ctx.moveTo(at, top + height);
    ctx.lineTo(at + height, top);
  }
  ctx.stroke();
  ctx.restore();
}

/** Stretches in which the process stood still; the event stands at their end. */
function drawStalls(lane, top) {
  for (const [event, us] of STALLS[lane.number] ?? []) {
    const begin = lowerBound(EVENT.time, EVENT.time[event] - us);
    const left = Math.max(HEAD, view.even ? x(Math.min(begin, event)) : xOf(EVENT.time[event] - us));
    const right = Math.min(paint.width, x(event));
    if (right > left) hatch(left, top + 6, right - left, lane.height - 9, colours["--bad"]);
  }
}

const STALLS = {};
for (const [event, us] of Object.entries(EVENT.lasted)) {
  (STALLS[EVENT.lane[event]] ??= []).push([Number(event), us]);
}

/** Whom a client is connected to. */
function drawConnections(lane, top) {
  const { ctx } = paint;
  const track = lane.client;
  lane.spans ??= track.at.map((at, k) => ({ at, server: track.server[k], session: track.session[k] }));
  ctx.font = "10px system-ui, sans-serif";
  drawSpans(lane.spans, ({ server, session }, left, width) => {
    ctx.fillStyle = colours[server < 0 ? "--no-process" : "--client"];
    ctx.globalAlpha = session < 0 ? 0.35 : 1;
    ctx.fillRect(left, top + 3, width, 3);
    ctx.globalAlpha = 1;
    const text = server < 0 ? "not connected" : `${LANES.all[server].name}${session < 0 ? ", no session yet" : ""}`;
    if (width > ctx.measureText(text).width + 12) ctx.fillText(text, left + 5, top + 14);
  });
}

/** Least and greatest txn of what is in view, over all servers: what one of them lacks is seen beside the others. */
function markRange(lanes) {
  let low = Infinity, high = -Infinity;
  for (const { server } of lanes) {
    if (!server) continue;
    forSamples(server, (k) => {
      low = Math.min(low, server.durable[k], server.applied[k]);
      high = Math.max(high, server.written[k], server.applied[k]);
    });
  }
  return low === Infinity ? [0, 1] : [low, high];
}

/** Samples in view, and the one that holds where it begins; not more of them than there are pixels. */
function forSamples(track, each) {
  const begin = Math.max(0, lowerBound(track.at, view.from, (i) => place[i]) - 1);
  const end = Math.min(track.at.length, lowerBound(track.at, view.to, (i) => place[i], begin) + 1);
  const step = Math.max(1, Math.floor((end - begin) / plotWidth()));
  for (let k = begin; k < end; k += step) each(k);
}

function drawWatermarks(lane, top) {
  const { ctx, width } = paint;
  const [low, high] = paint.range;
  const height = paint.strip - 4, base = top + height;
  const y = (rank) => (high === low ? base - height / 2 : base - 2 - ((rank - low) / (high - low)) * (height - 4));
  const points = [];
  forSamples(lane.server, (k) => points.push(k));
  if (!points.length) return;
  const trace = (column, close) => {
    ctx.beginPath();
    points.forEach((k, n) => {
      const left = Math.max(HEAD, x(lane.server.at[k]));
      const right = n + 1 < points.length ? Math.min(width, Math.max(HEAD, x(lane.server.at[points[n + 1]]))) : width;
      if (n === 0 && close) ctx.moveTo(left, base);
      ctx[n === 0 && !close ? "moveTo" : "lineTo"](left, y(column[k]));
      ctx.lineTo(right, y(column[k]));
    });
    if (close) ctx.lineTo(width, base);
  };
  ctx.fillStyle = colours["--written"];
  ctx.globalAlpha = 0.55;
  trace(lane.server.written, true);
  ctx.fill();
  ctx.globalAlpha = 1;
  ctx.fillStyle = colours["--durable"];
  trace(lane.server.durable, true);
  ctx.fill();
  ctx.strokeStyle = colours["--text"];
  ctx.lineWidth = 1;
  ctx.setLineDash([3, 2]);
  trace(lane.server.applied, false);
  ctx.stroke();
  ctx.setLineDash([]);
}

/** The column beside the lanes. */
function drawHead(lane, moment) {
  const { ctx } = paint;
  const top = AXIS + lane.top - view.scroll;
  ctx.fillStyle = colours["--back"];
  ctx.fillRect(0, top, HEAD, lane.height);
  ctx.fillStyle = colours["--text"];
  ctx.font = "600 12px system-ui, sans-serif";
  ctx.fillText(lane.name, 10, top + 17);
  const k = moment < 0 ? -1 : sampleAt(lane.server ?? lane.client ?? { at: [] }, moment);
  ctx.font = "11px system-ui, sans-serif";
  if (lane.server) drawServerHead(lane.server, k, top);
  else if (lane.client) {
    const server = k < 0 ? -1 : lane.client.server[k];
    ctx.fillStyle = colours["--faint"];
    ctx.textAlign = "right";
    ctx.fillText(server < 0 ? "not connected" : `at ${LANES.all[server].name}`, HEAD - 10, top + 17);
    ctx.textAlign = "left";
  }
  ctx.fillStyle = colours["--edge"];
  ctx.fillRect(HEAD - 1, top, 1, lane.height + 1);
}

function drawServerHead(track, k, top) {
  const { ctx } = paint;
  if (k < 0) return;
  const role = track.role[k];
  ctx.fillStyle = colours[ROLE_COLOUR[role]];
  ctx.textAlign = "right";
  ctx.font = "600 11px system-ui, sans-serif";
  ctx.fillText(RUN.roles[role], HEAD - 10, top + 17);
  ctx.textAlign = "left";
  ctx.font = "11px system-ui, sans-serif";
  const lines = [
    ["epochs", epochs(track, k)],
    ["applied", RUN.zxids[track.applied[k]]],
    ["on disk", RUN.zxids[track.durable[k]]],
    ["written", RUN.zxids[track.written[k]]],
    ["sessions", `${track.sessions[k]}, ${track.connections[k]} connected`],
  ];
  lines.forEach(([name, value], n) => {
    const y = top + 33 + n * 14;
    ctx.fillStyle = colours["--faint"];
    ctx.fillText(name, 10, y);
    ctx.fillStyle = name === "written" && track.written[k] !== track.durable[k] ? colours["--written"] : colours["--text"];
    ctx.fillText(value, 64, y);
  });
}

/** Both epochs of a sample, as they stand on disk. */
function epochs(track, k) {
  if (track.accepted[k] < 0) return "none on disk";
  const [accepted, current] = [track.accepted[k], track.current[k]];
  return accepted === current ? `${current}` : `accepted ${accepted}, current ${current}`;
}
