// The strip with the whole run, and the line with the times.

function drawOverview(canvas) {
  const { ctx, width, height } = sized(canvas);
  ctx.clearRect(0, 0, width, height);
  const [first, last] = extent();
  const at = (p) => 4 + ((p - first) / (last - first)) * (width - 8);
  ctx.fillStyle = colours["--report"];
  let from = 0;
  for (let px = 0; px < width - 8 && from < shown.all.length; px += BIN) {
    const to = gallop(shown.all, first + ((px + BIN) / (width - 8)) * (last - first), from);
    const tall = Math.min(4 + Math.log2(1 + to - from) * 2.6, height - 8);
    if (to > from) ctx.fillRect(4 + px, height - 4 - tall, BIN - 0.5, tall);
    from = to;
  }
  // Not more ticks than pixels.
  const ticks = (list, colour, top, tall) => {
    ctx.fillStyle = colour;
    let k = 0;
    while (k < list.length) {
      const px = at(place[list[k]]);
      ctx.fillRect(px - 0.75, top, 1.5, tall);
      k = gallop(list, place[list[k]] + (last - first) / width, k + 1);
    }
  };
  ticks(shown.faults, colours["--bad"], 2, 12);
  ticks(search.hits, colours["--hit"], height - 14, 12);
  if (VIOLATION >= 0) {
    ctx.fillStyle = colours["--bad"];
    ctx.fillRect(at(place[VIOLATION]) - 1.5, 0, 3, height);
  }
  const left = at(view.from), right = at(view.to);
  ctx.strokeStyle = ctx.fillStyle = colours["--strong"];
  ctx.globalAlpha = 0.16;
  ctx.fillRect(left, 0, Math.max(right - left, 2), height);
  ctx.globalAlpha = 1;
  ctx.lineWidth = 1.5;
  ctx.strokeRect(left, 0.75, Math.max(right - left, 2), height - 1.5);
}

/** Where in the run a pixel of the strip is. */
function overviewAt(canvas, px) {
  const [first, last] = extent();
  return first + ((px - 4) / (canvas.clientWidth - 8)) * (last - first);
}

/** A canvas with as many pixels as the screen has there. */
function sized(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const ctx = canvas.getContext("2d");
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  return { ctx, width, height };
}

function drawAxis() {
  const { ctx, width } = paint;
  ctx.fillStyle = colours["--back"];
  ctx.fillRect(0, 0, width, AXIS);
  ctx.font = "11px system-ui, sans-serif";
  ctx.fillStyle = colours["--faint"];
  ctx.fillText(view.even ? "even spacing" : `${span(view.to - view.from)} in view`.replace(/(\.\d\d)\d*/, "$1"), 10, 16);
  if (view.even) evenTicks(); else timeTicks();
  ctx.fillStyle = colours["--edge"];
  ctx.fillRect(0, AXIS - 1, width, 1);
}

function tick(at, text) {
  const { ctx } = paint;
  ctx.fillStyle = colours["--edge"];
  ctx.fillRect(at, AXIS - 6, 1, paint.height);
  ctx.fillStyle = colours["--faint"];
  ctx.fillText(text, at + 4, 16);
}

function timeTicks() {
  const width = view.to - view.from, raw = (width / plotWidth()) * 130;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].find((n) => n * power >= raw) * power;
  const digits = Math.min(6, Math.max(0, 6 - Math.floor(Math.log10(step) + 1e-9)));
  for (let t = Math.ceil(Math.max(view.from, 0) / step) * step; t < view.to; t += step) {
    tick(xOf(t), `${(t / 1e6).toFixed(digits)} s`);
  }
}

/** Where all events have the same room, ticks say when they happen. */
function evenTicks() {
  for (let px = HEAD; px < paint.width - 60; px += 130) {
    const i = nearest(atX(px));
    if (i >= 0) tick(px, clock(EVENT.time[i]));
  }
}
