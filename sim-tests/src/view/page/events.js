// Events: marks, arrows, and shades where there are too many for either.

const BIN = 2, ARROWS_MAX = 2500, LABELS_MAX = 160, MARKS_PER_PIXEL = 0.35;
const HALO = 3;

function drawEvents(lanes) {
  paint.marks.length = paint.arrows.length = 0;
  const crowded = countIn(view.from, view.to) > 30000;
  if (!crowded) drawArrows(lanes);
  for (const lane of lanes) {
    const rows = shown.rows[lane.number];
    for (let row = 0; row < 4; row++) drawRow(lane, row, rows[row]);
  }
  drawAlways(lanes);
}

function drawRow(lane, row, list) {
  const begin = lowerBound(list, view.from, placeOf), end = lowerBound(list, view.to, placeOf, begin);
  if (begin === end) return;
  const y = rowY(lane, row);
  if (end - begin > plotWidth() * MARKS_PER_PIXEL) shade(list, begin, end, y);
  else for (let k = begin; k < end; k++) mark(list[k], y);
  if (end - begin < LABELS_MAX && row !== 1) labelRow(list, begin, end, y);
}

/** How many events there are in each few pixels; searching from bin to bin costs the same however many there are. */
function shade(list, begin, end, y) {
  const { ctx } = paint;
  const width = view.to - view.from, bins = Math.ceil(plotWidth() / BIN);
  ctx.fillStyle = colourOf(list[(begin + end) >> 1]);
  let from = begin;
  for (let b = 1; b <= bins && from < end; b++) {
    const to = Math.min(gallop(list, view.from + (width * b * BIN) / plotWidth(), from), end);
    if (to === from) continue;
    ctx.globalAlpha = Math.min(0.25 + Math.log2(to - from) * 0.12, 1);
    ctx.fillRect(HEAD + (b - 1) * BIN, y - 5, BIN, 10);
    from = to;
  }
  ctx.globalAlpha = 1;
}

/** Like `lowerBound`, for a place that is probably near. */
function gallop(list, at, from) {
  let step = 1;
  while (from + step < list.length && place[list[from + step]] < at) step *= 2;
  const stop = Math.min(from + step + 1, list.length);
  let low = from, high = stop;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (place[list[middle]] < at) low = middle + 1; else high = middle;
  }
  return low;
}

function mark(i, y) {
  const { ctx } = paint;
  const at = x(i), kind = EVENT.kind[i];
  ctx.fillStyle = ctx.strokeStyle = colourOf(i);
  if (kind === KIND["disk done"] && EVENT.pair[i] >= 0) {
    const left = Math.max(x(EVENT.pair[i]), HEAD);
    ctx.globalAlpha = 0.5;
    ctx.fillRect(left, y - 3, Math.max(at - left, 1), 6);
    ctx.globalAlpha = 1;
    ctx.fillRect(at - 1, y - 4, 2, 8);
  } else if (BEGINS[kind] || kind === KIND["heard"] || kind === KIND["takes"] || kind === KIND["gets"]) {
    ctx.beginPath();
    ctx.arc(at, y, BEGINS[kind] ? 2.5 : 2, 0, 7);
    ctx.fill();
  } else {
    ctx.fillRect(at - 1.5, y - 4.5, 3, 9);
  }
  paint.marks.push(at, y, i);
}

/** Texts beside marks, as far as each has room before the next one. */
function labelRow(list, begin, end, y) {
  const { ctx } = paint;
  ctx.font = "10px system-ui, sans-serif";
  let free = HEAD;
  for (let k = begin; k < end; k++) {
    const i = list[k], left = x(i) + 5;
    // What begins an arrow or is one end of it is labelled there.
    if (left < free || BEGINS[EVENT.kind[i]] || (EVENT.other[i] >= 0 && EVENT.pair[i] >= 0)) continue;
    // The lane itself says whom a client is connected to, and the bar when a disk was asked.
    if (EVENT.kind[i] === KIND["disk done"] || EVENT.kind[i] === KIND["connects"] || i === VIOLATION) continue;
    const room = (k + 1 < end ? x(list[k + 1]) : paint.width) - left;
    const text = shortText(i), width = ctx.measureText(text).width;
    if (width > room - 3) continue;
    ctx.fillStyle = colours["--back"];
    ctx.globalAlpha = 0.75;
    ctx.fillRect(left - 2, y - 6, width + 4, 12);
    ctx.globalAlpha = 1;
    ctx.fillStyle = colourOf(i);
    ctx.fillText(text, left, y + 3.5);
    free = left + width + 4;
  }
}

/** Arrows that touch the view: those that begin in it, and those that come from before it. */
function arrowsInView() {
  const { sends, lateEnds } = shown;
  const begin = lowerBound(sends, view.from, placeOf), end = lowerBound(sends, view.to, placeOf, begin);
  if (end - begin > ARROWS_MAX) return null;
  const found = [];
  for (let b = 0; b * BLOCK < begin; b++) {
    if (lateEnds[b] < 0 || place[lateEnds[b]] < view.from) continue;
    for (let k = b * BLOCK; k < Math.min((b + 1) * BLOCK, begin); k++) {
      if (EVENT.pair[sends[k]] >= 0 && place[EVENT.pair[sends[k]]] >= view.from) found.push(sends[k]);
    }
  }
  for (let k = begin; k < end; k++) found.push(sends[k]);
  return found;
}

function drawArrows(lanes) {
  const { ctx, height } = paint;
  const found = arrowsInView();
  if (!found) return;
  const pale = found.length > 400 ? 0.45 : 0.85;
  ctx.save();
  ctx.beginPath();
  ctx.rect(HEAD, AXIS, plotWidth(), height - AXIS);
  ctx.clip();
  const labels = [];
  const seen = new Set(lanes.map((lane) => lane.number));
  for (const i of found) {
    const other = EVENT.other[i];
    if (other < 0 || !LANES.all[other].shown || !(seen.has(EVENT.lane[i]) || seen.has(other))) continue;
    const arrow = arrowOf(i, other);
    ctx.strokeStyle = ctx.fillStyle = colourOf(i);
    ctx.globalAlpha = i === view.chosen || EVENT.pair[i] === view.chosen ? 1 : pale;
    ctx.lineWidth = i === view.chosen || EVENT.pair[i] === view.chosen ? 2.5 : 1.2;
    drawArrow(arrow, found.length <= 600);
    paint.arrows.push(arrow);
    labels.push(arrow);
  }
  ctx.globalAlpha = 1;
  if (labels.length <= LABELS_MAX) labelArrows(labels);
  ctx.restore();
}

/** An arrow without another end goes a part of the way. */
function arrowOf(i, other) {
  const pair = EVENT.pair[i], x1 = x(i), y1 = yOf(i);
  const y2 = rowY(LANES.all[other], rowOf(i));
  if (pair >= 0) return { i, x1, y1, x2: x(pair), y2, lost: false };
  return { i, x1, y1, x2: x1 + 14, y2: y1 + (y2 - y1) * 0.35, lost: true };
}

function drawArrow({ x1, y1, x2, y2, lost }, tip) {
  const { ctx } = paint;
  ctx.setLineDash(lost ? [4, 3] : []);
  ctx.beginPath();
  ctx.moveTo(x1, y1);
  ctx.lineTo(x2, y2);
  ctx.stroke();
  ctx.setLineDash([]);
  if (!tip) return;
  const angle = Math.atan2(y2 - y1, x2 - x1);
  const side = (turn, size) => [x2 - size * Math.cos(angle + turn), y2 - size * Math.sin(angle + turn)];
  ctx.beginPath();
  if (lost) {
    ctx.moveTo(x2 - 4, y2 - 4); ctx.lineTo(x2 + 4, y2 + 4);
    ctx.moveTo(x2 - 4, y2 + 4); ctx.lineTo(x2 + 4, y2 - 4);
    ctx.stroke();
  } else {
    ctx.moveTo(x2, y2);
    ctx.lineTo(...side(0.42, 8));
    ctx.lineTo(...side(-0.42, 8));
    ctx.fill();
  }
}

/** Names of messages, each where nothing is written yet. */
function labelArrows(arrows) {
  const { ctx, width } = paint;
  ctx.font = "10.5px system-ui, sans-serif";
  ctx.lineJoin = "round";
  const taken = [];
  for (const { i, x1, y1, x2, y2 } of arrows) {
    const text = shortText(i), w = ctx.measureText(text).width;
    for (const part of [0.5, 0.3, 0.7]) {
      const left = x1 + (x2 - x1) * part - w / 2, top = y1 + (y2 - y1) * part - 6;
      const apart = (t) => left > t[0] + t[2] + 3 || left + w + 3 < t[0] || top > t[1] + 12 || top + 12 < t[1];
      if (left < HEAD || left + w > width || !taken.every(apart)) continue;
      taken.push([left, top, w]);
      ctx.strokeStyle = colours["--back"];
      ctx.lineWidth = HALO;
      ctx.strokeText(text, left, top + 10);
      ctx.fillStyle = colourOf(i);
      ctx.fillText(text, left, top + 10);
      break;
    }
  }
}

/** Faults, hits, the violation and what is chosen are seen however far away one is. */
function drawAlways(lanes) {
  const { ctx, height } = paint;
  for (const lane of lanes) {
    const list = shown.faults;
    const begin = lowerBound(list, view.from, placeOf), end = lowerBound(list, view.to, placeOf, begin);
    for (let k = begin; k < end; k++) {
      if (EVENT.lane[list[k]] === lane.number) faultMark(x(list[k]), rowY(lane, 0));
    }
  }
  drawHits(lanes);
  if (VIOLATION >= 0) {
    cursor(x(VIOLATION), colours["--bad"], [2, 3]);
    nameViolation(lanes);
  }
  if (view.chosen >= 0) {
    cursor(x(view.chosen), colours["--strong"], []);
    ring(x(view.chosen), yOf(view.chosen));
    if (EVENT.pair[view.chosen] >= 0) ring(x(EVENT.pair[view.chosen]), yOf(EVENT.pair[view.chosen]));
  }

  function cursor(at, colour, dash) {
    if (at < HEAD || at > paint.width) return;
    ctx.strokeStyle = colour;
    ctx.lineWidth = 1.2;
    ctx.setLineDash(dash);
    ctx.beginPath();
    ctx.moveTo(at, AXIS);
    ctx.lineTo(at, height);
    ctx.stroke();
    ctx.setLineDash([]);
  }

  function ring(at, y) {
    if (at < HEAD || at > paint.width || y < AXIS) return;
    ctx.strokeStyle = colours["--strong"];
    ctx.lineWidth = 2;
    ctx.beginPath();
    ctx.arc(at, y, 6.5, 0, 7);
    ctx.stroke();
  }
}

/** On the side where it has room. */
function nameViolation(lanes) {
  const { ctx, width } = paint, at = x(VIOLATION);
  if (at < HEAD || at > width || !lanes.includes(laneOf(VIOLATION))) return;
  const toLeft = at - HEAD > width - at, room = (toLeft ? at - HEAD : width - at) - 14;
  let text = shortText(VIOLATION);
  ctx.font = "600 11px system-ui, sans-serif";
  while (ctx.measureText(text).width > room && text.length > 4) text = cut(text, text.length - 2);
  const left = toLeft ? at - 10 - ctx.measureText(text).width : at + 10;
  ctx.strokeStyle = colours["--lane"];
  ctx.lineWidth = HALO * 2;
  ctx.lineJoin = "round";
  ctx.strokeText(text, left, yOf(VIOLATION) + 4);
  ctx.fillStyle = colours["--bad"];
  ctx.fillText(text, left, yOf(VIOLATION) + 4);
}

function faultMark(at, y) {
  const { ctx } = paint;
  ctx.fillStyle = colours["--bad"];
  ctx.beginPath();
  ctx.moveTo(at - 6, y - 5);
  ctx.lineTo(at + 6, y - 5);
  ctx.lineTo(at, y + 6);
  ctx.fill();
}

/** One tick per pixel at most: a common word may have as many hits as there are events. */
function drawHits(lanes) {
  const { ctx } = paint;
  const { hits } = search;
  const seen = new Set(lanes.map((lane) => lane.number));
  ctx.strokeStyle = colours["--hit"];
  ctx.lineWidth = 2;
  let k = lowerBound(hits, view.from, placeOf), drawn = 0;
  while (k < hits.length && place[hits[k]] <= view.to && drawn < 4000) {
    const at = x(hits[k]);
    if (seen.has(EVENT.lane[hits[k]])) {
      const y = yOf(hits[k]);
      ctx.strokeRect(at - 4, y - 5, 8, 10);
      drawn++;
    }
    k = hits.length - k > 4000 ? gallop(hits, atX(at + 1), k) : k + 1;
  }
}
