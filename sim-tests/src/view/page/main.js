// Input, and when to draw.

const picture = document.getElementById("picture"), overview = document.getElementById("overview");
const byId = (id) => document.getElementById(id);
let drawing = false;

function draw() {
  drawing = false;
  const { ctx, width, height } = sized(picture);
  Object.assign(paint, { ctx, width, height });
  ctx.clearRect(0, 0, width, height);
  const tall = layOut();
  view.scroll = Math.max(0, Math.min(view.scroll, tall - (height - AXIS)));
  drawAxis();
  const lanes = visibleLanes();
  paint.range = markRange(lanes);
  ctx.save();
  ctx.beginPath();
  ctx.rect(0, AXIS, width, height - AXIS);
  ctx.clip();
  lanes.forEach(drawLane);
  drawEvents(lanes);
  const moment = momentShown();
  lanes.forEach((lane) => drawHead(lane, moment));
  ctx.restore();
  if (tall > height - AXIS) {
    const part = (height - AXIS) / tall;
    ctx.fillStyle = colours["--edge"];
    ctx.fillRect(width - 6, AXIS + view.scroll * part, 5, (height - AXIS) * part);
  }
  drawOverview(overview);
}

function redraw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(draw);
}

/** Chooses an event. "reveal" looks closer where it would be lost in the crowd, "keep" only moves the picture. */
function choose(i, how) {
  if (i < 0 || i >= COUNT) return;
  view.chosen = i;
  if (how === "reveal" && countIn(view.from, view.to) > 1500) around(i);
  const margin = (view.to - view.from) * 0.08;
  if (place[i] < view.from + margin || place[i] > view.to - margin) {
    pan(place[i] - (view.from + view.to) / 2);
  }
  const lane = laneOf(i), room = picture.clientHeight - AXIS;
  layOut();
  if (lane.top < view.scroll) view.scroll = lane.top;
  if (lane.top + lane.height > view.scroll + room) view.scroll = lane.top + lane.height - room;
  showPanel();
  redraw();
}

function unchoose() {
  view.chosen = -1;
  showPanel();
  redraw();
}

/** To the next shown event, in the same lane only if that is asked for. */
function step(by, sameLane) {
  if (!shown.all.length) return;
  const from = view.chosen >= 0 ? view.chosen : nearest((view.from + view.to) / 2);
  let k = lowerBound(shown.all, from) + (by > 0 && shown.all[lowerBound(shown.all, from)] === from ? 1 : by > 0 ? 0 : -1);
  while (sameLane && shown.all[k] !== undefined && EVENT.lane[shown.all[k]] !== EVENT.lane[from]) k += by;
  if (shown.all[k] !== undefined) choose(shown.all[k], "keep");
}

function nextFault() {
  const list = shown.faults, k = lowerBound(list, view.chosen + 1);
  if (list.length) choose(list[k] ?? list[0], "reveal");
}

function toViolation() {
  if (VIOLATION < 0) return;
  view.chosen = VIOLATION;
  around(VIOLATION);
  choose(VIOLATION, "keep");
}

function closeUp() {
  const i = view.chosen >= 0 ? view.chosen : nearest((view.from + view.to) / 2);
  if (i >= 0) around(i);
  redraw();
}

function wholeRun() {
  lookAtAll();
  redraw();
}

function setEven(even) {
  rescale(even);
  byId("even").setAttribute("aria-pressed", String(even));
  redraw();
}

function otherEnd() {
  if (view.chosen >= 0 && EVENT.pair[view.chosen] >= 0) choose(EVENT.pair[view.chosen], "reveal");
}

// Search.

let searching = 0;

function searchNow(jumpToo) {
  clearTimeout(searching);
  find(byId("query").value);
  const { hits, query } = search;
  if (jumpToo && hits.length) toHit(hitFrom(Math.max(view.chosen, 0), 0));
  sayHits();
  byId("hit-before").disabled = byId("hit-next").disabled = query !== "" && !hits.length;
  redraw();
}

function toHit(i) {
  choose(i, "reveal");
  sayHits();
}

function sayHits() {
  const { hits, query } = search;
  const k = lowerBound(hits, view.chosen);
  const which = hits[k] === view.chosen ? `${(k + 1).toLocaleString("en")} of ` : "";
  byId("hits").textContent = !query ? "" : hits.length ? `${which}${hits.length.toLocaleString("en")}` : "no hit";
}

function toHitBy(by) {
  if (search.query !== byId("query").value.trim()) searchNow(false);
  const i = hitFrom(view.chosen, by);
  if (i >= 0) toHit(i);
}

byId("query").addEventListener("input", () => {
  clearTimeout(searching);
  searching = setTimeout(() => searchNow(true), 200);
});
byId("query").addEventListener("keydown", (event) => {
  if (event.key === "Escape") { event.target.value = ""; searchNow(false); picture.focus(); }
  if (event.key === "Enter" && event.shiftKey) { event.preventDefault(); toHitBy(-1); }
});
byId("find").addEventListener("submit", (event) => { event.preventDefault(); toHitBy(1); });

// Filter.

function checkbox(box, label, colour, checked, change) {
  const made = element("label", null), input = element("input", null, { type: "checkbox" });
  input.checked = checked;
  input.addEventListener("change", () => { change(input.checked); filtered(); });
  made.append(input);
  if (colour) made.append(element("span", "", { class: "swatch", style: `background: var(${colour})` }));
  made.append(element("span", label));
  box.append(made);
  return input;
}

function filtered() {
  const anchor = view.chosen >= 0 ? view.chosen : nearest((view.from + view.to) / 2);
  const count = countIn(view.from, view.to);
  refilter();
  if (view.even) {
    replace();
    if (anchor >= 0) around(anchor, Math.max(count, 8));
  }
  if (search.query) { find(search.query); sayHits(); }
  showPanel();
  redraw();
}

function makeFilters() {
  GROUPS.forEach((group, g) => {
    checkbox(byId("kinds"), group.name, group.colour, true, (on) => { groupShown[g] = on ? 1 : 0; });
  });
  const boxes = LANES.order.map((lane) => {
    const colour = lane.kind === "client" ? "--client" : null;
    return checkbox(byId("lanes"), lane.name, colour, true, (on) => { lane.shown = on; });
  });
  const all = (on) => {
    LANES.order.forEach((lane) => { lane.shown = on; });
    boxes.forEach((box) => { box.checked = on; });
    filtered();
  };
  byId("all-lanes").onclick = () => all(true);
  byId("no-lanes").onclick = () => all(false);
}

function toggle(button, section) {
  const open = section.hidden;
  section.hidden = !open;
  button.setAttribute("aria-expanded", String(open));
  redraw();
}

// Mouse and touch.

/** The event under the mouse: a mark, an arrow, or the nearest one of a row too crowded for marks. */
function under(px, py) {
  if (px < HEAD || py < AXIS) return -1;
  let best = -1, least = 9;
  for (let m = 0; m < paint.marks.length; m += 3) {
    const far = Math.hypot(paint.marks[m] - px, (paint.marks[m + 1] - py) * 0.8);
    if (far < least) [best, least] = [paint.marks[m + 2], far];
  }
  if (best >= 0) return best;
  for (const { i, x1, y1, x2, y2 } of paint.arrows) {
    const long = (x2 - x1) ** 2 + (y2 - y1) ** 2 || 1;
    const part = Math.min(1, Math.max(0, ((px - x1) * (x2 - x1) + (py - y1) * (y2 - y1)) / long));
    const far = Math.hypot(x1 + part * (x2 - x1) - px, y1 + part * (y2 - y1) - py);
    if (far < Math.min(least, 5)) [best, least] = [i, far];
  }
  return best >= 0 ? best : inCrowd(px, py);
}

function inCrowd(px, py) {
  for (const lane of visibleLanes()) {
    for (let row = 0; row < ROWS_OF[lane.kind]; row++) {
      if (Math.abs(rowY(lane, row) - py) > paint.row / 2) continue;
      // A lane with a single row has all of them in it.
      const rows = ROWS_OF[lane.kind] === 1 ? shown.rows[lane.number] : [shown.rows[lane.number][row]];
      const found = rows.map((events) => nearest(atX(px), events)).filter((i) => i >= 0);
      found.sort((a, b) => Math.abs(x(a) - px) - Math.abs(x(b) - px));
      if (found.length && Math.abs(x(found[0]) - px) < 6) return found[0];
    }
  }
  return -1;
}

let held = null;

picture.addEventListener("pointerdown", (event) => {
  picture.setPointerCapture(event.pointerId);
  held = { px: event.offsetX, py: event.offsetY, from: view.from, to: view.to, scroll: view.scroll, moved: false };
  byId("tip").hidden = true;
});
picture.addEventListener("pointermove", (event) => {
  if (!held) return hover(event);
  const dx = event.offsetX - held.px, dy = event.offsetY - held.py;
  if (!held.moved && Math.hypot(dx, dy) < 4) return;
  held.moved = true;
  picture.classList.add("dragging");
  const by = (-dx / plotWidth()) * (held.to - held.from);
  look(held.from + by, held.to + by);
  view.scroll = held.scroll - dy;
  redraw();
});
picture.addEventListener("pointerup", (event) => {
  picture.classList.remove("dragging");
  const clicked = held && !held.moved;
  held = null;
  if (!clicked) return;
  const i = under(event.offsetX, event.offsetY);
  if (i >= 0) choose(i, "keep"); else unchoose();
  sayHits();
});
picture.addEventListener("pointercancel", () => { held = null; });
picture.addEventListener("pointerleave", () => { byId("tip").hidden = true; });

function hover(event) {
  const tip = byId("tip"), i = under(event.offsetX, event.offsetY);
  tip.hidden = i < 0;
  if (i < 0) return;
  tip.textContent = `${clock(EVENT.time[i])}, ${laneOf(i).name}: ${line(i)}`;
  const right = event.offsetX > picture.clientWidth / 2;
  tip.style.left = right ? "" : `${event.offsetX + 14}px`;
  tip.style.right = right ? `${picture.clientWidth - event.offsetX + 14}px` : "";
  tip.style.top = `${Math.min(event.offsetY + 52, picture.clientHeight)}px`;
}

picture.addEventListener("wheel", (event) => {
  event.preventDefault();
  const by = event.deltaMode === 1 ? 30 : 1;
  if (event.offsetX < HEAD) view.scroll += event.deltaY * by;
  else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
    pan((((event.deltaX || event.deltaY) * by) / plotWidth()) * (view.to - view.from));
  } else zoom(Math.exp(Math.max(-200, Math.min(200, event.deltaY * by)) * 0.003), atX(event.offsetX));
  redraw();
}, { passive: false });

function toOverview(event) {
  const half = (view.to - view.from) / 2, at = overviewAt(overview, event.offsetX);
  look(at - half, at + half);
  redraw();
}
overview.addEventListener("pointerdown", (event) => { overview.setPointerCapture(event.pointerId); toOverview(event); });
overview.addEventListener("pointermove", (event) => { if (event.buttons) toOverview(event); });

// Keys.

const KEYS = {
  ArrowLeft: (event) => step(-1, event.shiftKey), ArrowRight: (event) => step(1, event.shiftKey),
  ArrowUp: () => { view.scroll -= 60; redraw(); }, ArrowDown: () => { view.scroll += 60; redraw(); },
  "+": () => { zoomHere(0.6); }, "=": () => { zoomHere(0.6); }, "-": () => { zoomHere(1 / 0.6); },
  a: () => { pan(-(view.to - view.from) / 4); redraw(); }, d: () => { pan((view.to - view.from) / 4); redraw(); },
  z: closeUp, 0: wholeRun, "/": () => byId("query").focus(), n: () => toHitBy(1), p: () => toHitBy(-1),
  f: nextFault, v: toViolation, o: otherEnd, e: () => setEven(!view.even),
  "?": () => toggle(byId("keys"), byId("help")),
  Escape: () => {
    for (const [button, section] of [["filter", "filters"], ["scenario", "scenario-text"], ["keys", "help"]]) {
      if (!byId(section).hidden) return toggle(byId(button), byId(section));
    }
    return unchoose();
  },
};

function zoomHere(factor) {
  const inView = view.chosen >= 0 && place[view.chosen] >= view.from && place[view.chosen] <= view.to;
  zoom(factor, inView ? place[view.chosen] : undefined);
  redraw();
}

document.addEventListener("keydown", (event) => {
  const typing = event.target.tagName === "INPUT" && event.target.type !== "checkbox";
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const act = KEYS[event.key] ?? KEYS[event.key.toLowerCase()];
  if (!act) return;
  event.preventDefault();
  act(event);
});

// Begin.

for (const [id, act] of Object.entries({
  back: (event) => step(-1, event.shiftKey), forward: (event) => step(1, event.shiftKey), in: () => zoomHere(0.6),
  out: () => zoomHere(1 / 0.6), "close-up": closeUp, all: wholeRun, even: () => setEven(!view.even), fault: nextFault,
  "to-violation": toViolation, "hit-before": () => toHitBy(-1), filter: () => toggle(byId("filter"), byId("filters")),
  keys: () => toggle(byId("keys"), byId("help")), scenario: () => toggle(byId("scenario"), byId("scenario-text")),
})) byId(id).addEventListener("click", act);

function begin() {
  const { name, story, violation, otherwise, scenario } = RUN.about;
  document.title = `${violation ? "Broken: " : ""}${name}`;
  byId("name").textContent = name;
  byId("story").textContent = byId("story").title = story;
  byId("scenario-text").firstElementChild.textContent = scenario;
  byId("verdict").classList.toggle("broken", Boolean(violation));
  byId("verdict-text").textContent = violation ?? otherwise;
  byId("to-violation").hidden = VIOLATION < 0;
  byId("fault").disabled = !EVENT.group.includes(G.faults);
  readColours();
  makeFilters();
  refilter();
  replace();
  lookAtAll();
  sized(picture);
  if (VIOLATION >= 0) toViolation(); else showPanel();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColours(); redraw(); });
  new ResizeObserver(redraw).observe(byId("stage"));
  draw();
}

begin();
