// What a reader of the page does, done in Chromium: usage: check.js ZOETROPE-SIM WORK [--shots DIR]
"use strict";
const assert = require("node:assert/strict");
const { execFileSync } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");
const { chromium } = require("playwright-core");

const [sim, work, , shots] = process.argv.slice(2);
const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];
/** Slower than that a picture does not feel alive. */
const FRAME_MS = 100;

const run = (...args) => execFileSync(sim, args, { encoding: "utf8", maxBuffer: 1 << 30 });
/** Replays end with another code where a promise is broken. */
function replay(...args) {
  try {
    return run("replay", ...args);
  } catch (error) {
    assert.equal(error.status, 1, error.message);
    return error.stdout;
  }
}

async function open(browser, file, scheme) {
  const context = await browser.newContext({ viewport: { width: 1400, height: 860 }, colorScheme: scheme });
  const page = await context.newPage();
  const wrong = [];
  page.on("console", (message) => wrong.push(`console: ${message.text()}`));
  page.on("pageerror", (error) => wrong.push(`error: ${error.stack}`));
  page.on("request", (request) => {
    if (request.url() !== `file://${file}` && !request.url().startsWith("data:")) wrong.push(`request: ${request.url()}`);
  });
  await page.goto(`file://${file}`);
  const shoot = (name) => (shots ? page.screenshot({ path: path.join(shots, `${name}.png`) }) : null);
  const close = async () => {
    assert.deepEqual(wrong, []);
    await context.close();
  };
  return { page, close, shoot, get: (code) => page.evaluate(code) };
}

/** A run that broke a promise opens there, and says so. */
async function broken(browser) {
  const args = ["--seed", "3", "--mistake", "reply-before-event"], file = path.join(work, "broken.html");
  run("view", ...args, "-o", file);
  const said = replay(...args).split("\n")[0].replace(/^.*?, seed 3: /, "");
  assert.match(said, /^safety violation: /);
  const { page, close, shoot, get } = await open(browser, file, "light");
  assert.equal(await page.locator("#verdict-text").textContent(), said);
  assert.equal(await get("view.chosen"), await get("VIOLATION"));
  assert.ok(await get("place[VIOLATION] > view.from && place[VIOLATION] < view.to && countIn(view.from, view.to) < 500"));
  const panel = await page.locator("#panel").textContent();
  assert.ok(panel.includes(said.replace("safety violation: ", "")), panel);
  await shoot("broken");
  await page.keyboard.press("0");
  assert.ok(await get("view.from <= place[0]"));
  await page.getByRole("button", { name: "Show" }).click();
  assert.ok(await get("place[VIOLATION] < view.to && view.from > place[0]"));
  await close();
  console.log(`a broken run opens at its violation: ${said.slice(0, 70)}…`);
}

/** Every line about a packet is a hit, and a click on one takes it apart. */
async function searching({ page, get }, steps) {
  const [, type, zxid] = /-> \d+: (COMMIT) (0x2[0-9a-f]+)/.exec(steps);
  const lines = steps.split("\n").filter((line) => line.includes(type) && new RegExp(`${zxid}(?![0-9a-f])`).test(line));
  assert.ok(lines.length >= 4, `${lines.length} lines with ${type} ${zxid}`);
  await page.keyboard.press("/");
  await page.keyboard.type(`${type} ${zxid}`);
  await page.keyboard.press("Enter");
  assert.equal(await get("search.hits.length"), lines.length);
  assert.ok((await get("textOf(view.chosen)")).startsWith(`${type} ${zxid}`));
  const first = await get("view.chosen");
  await page.keyboard.press("Enter");
  assert.notEqual(await get("view.chosen"), first);
  await page.keyboard.press("Shift+Enter");
  assert.equal(await get("view.chosen"), first);
  // Half a zxid is none.
  await page.locator("#query").fill(`${type} ${zxid.slice(0, -1)}`);
  await page.keyboard.press("Enter");
  assert.equal(await page.locator("#hits").textContent(), "no hit");
  await page.locator("#query").press("Escape");
  // Away from it, then a click where it is drawn.
  await get("(view.chosen = -1, showPanel(), draw())");
  const spot = await get(`[x(${first}), yOf(${first})]`);
  const box = await page.locator("#picture").boundingBox();
  await page.mouse.click(box.x + spot[0], box.y + spot[1]);
  const panel = await page.locator("#panel").textContent();
  for (const word of [type, zxid, "epoch 2", "leaves", "arrives"]) assert.ok(panel.includes(word), `${word}: ${panel}`);
  await page.keyboard.press("o");
  assert.equal(await get("view.chosen"), await get(`EVENT.pair[${first}]`));
  return `${type} ${zxid}: ${lines.length} hits`;
}

async function stepping({ page, get }) {
  const width = () => get("view.to - view.from");
  const before = await width();
  await page.keyboard.press("+");
  assert.ok((await width()) < before);
  await page.getByRole("button", { name: "Zoom out" }).click();
  await page.keyboard.press("-");
  assert.ok((await width()) > before);
  const box = await page.locator("#picture").boundingBox();
  const wide = await width();
  await page.mouse.move(box.x + 600, box.y + 300);
  await page.mouse.wheel(0, -300);
  await page.waitForTimeout(100);
  assert.ok((await width()) < wide);
  const here = await get("view.chosen");
  await page.locator("#picture").focus();
  await page.keyboard.press("ArrowRight");
  assert.equal(await get("view.chosen"), here + 1);
  await page.keyboard.press("ArrowLeft");
  await page.keyboard.press("Shift+ArrowLeft");
  const back = await get("view.chosen");
  assert.ok(back < here && (await get(`EVENT.lane[${back}] === EVENT.lane[${here}]`)));
  const from = await get("view.from");
  await page.mouse.down();
  await page.mouse.move(box.x + 400, box.y + 300, { steps: 4 });
  await page.mouse.up();
  assert.ok((await get("view.from")) > from);
}

async function filtering({ page, get }) {
  const all = await get("shown.all.length");
  const pings = await get("EVENT.group.filter((g) => g === G.pings).length");
  await page.getByRole("button", { name: "Filter" }).click();
  await page.getByLabel("Pings", { exact: true }).uncheck();
  assert.ok(pings > 0);
  assert.equal(await get("shown.all.length"), all - pings);
  await page.getByLabel("server 1").uncheck();
  assert.ok(!(await get("shown.all.some((i) => laneOf(i).name === 'server 1')")));
  await page.getByRole("button", { name: "all", exact: true }).click();
  await page.getByLabel("Pings", { exact: true }).check();
  await page.getByRole("button", { name: "Filter" }).click();
  assert.equal(await get("shown.all.length"), all);
}

/** Time between frames while the picture is zoomed and moved, at scales from the whole run to a few events. */
const FRAMES = `(async () => {
  const times = [];
  let last = 0;
  const frame = () => new Promise((done) => requestAnimationFrame((now) => { if (last) times.push(now - last); last = now; done(); }));
  for (const count of [COUNT, 100000, 10000, 1000, 100]) {
    around(Math.floor(COUNT / 2), count);
    for (let k = 0; k < 15; k++) { pan((view.to - view.from) / 50); zoom(0.99); redraw(); await frame(); }
  }
  times.sort((a, b) => a - b);
  return { median: times[times.length >> 1], worst: times[times.length - 1], frames: times.length };
})()`;

/** CPU time of all processes that this one has started, and theirs, in ms. */
function cpuOfBrowser() {
  const parents = new Map(), times = new Map();
  for (const pid of fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const fields = fs.readFileSync(`/proc/${pid}/stat`, "latin1").replace(/^.*\) /s, "").split(" ");
      parents.set(pid, fields[1]);
      times.set(pid, (Number(fields[11]) + Number(fields[12])) * 10);
    } catch { /* It has just ended. */ }
  }
  const mine = (pid) => pid !== undefined && (parents.get(pid) === String(process.pid) || mine(parents.get(pid)));
  return [...times].reduce((sum, [pid, ms]) => sum + (mine(pid) ? ms : 0), 0);
}

/** A machine that does other things shows frames late; then the CPU time of a frame, all processes of the browser and
 *  drawing without a graphics card included, must be short. */
async function smooth({ get }, events, name) {
  const before = cpuOfBrowser();
  const { median, worst, frames } = await get(FRAMES);
  const cpu = (cpuOfBrowser() - before) / frames;
  console.log(`${events} events, ${name}: median frame ${median.toFixed(1)} ms, worst ${worst.toFixed(1)} ms of ${frames}; ${cpu.toFixed(1)} ms CPU each`);
  assert.ok(Math.min(median, cpu) < FRAME_MS, "frames are late");
}

async function kept(browser) {
  const file = path.join(work, "kept.html"), seed = ["--seed", "6"];
  run("view", ...seed, "-o", file);
  const steps = replay(...seed, "--step");
  const seen = await open(browser, file, "dark");
  const { page, close, shoot, get } = seen;
  const events = await get("COUNT");
  assert.ok(events >= 100_000, `${events} events`);
  assert.equal(events, steps.trim().split("\n").length - 1);
  assert.equal(await page.locator("#verdict-text").textContent(), "Every promise was kept.");
  await shoot("kept");
  const found = await searching(seen, steps);
  await shoot("found");
  await stepping(seen);
  await filtering(seen);
  for (const even of [false, true]) {
    await get(`setEven(${even})`);
    await smooth(seen, events, even ? "even spacing" : "time");
  }
  await get("setEven(true), choose(search.hits[0] ?? 1000, 'reveal')");
  await shoot("even");
  await close();
  console.log(found);
}

(async () => {
  const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: FLAGS });
  try {
    await broken(browser);
    await kept(browser);
  } finally {
    await browser.close();
  }
  console.log("view: all well");
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
