// What stands beside the picture: the chosen event in full, and what happened around it.

const NEAR = 9;
const WAY = {
  [KIND["sent"]]: "sent to", [KIND["heard"]]: "received from", [KIND["asks"]]: "request to", [KIND["takes"]]: "request of",
  [KIND["answers"]]: "answer to", [KIND["gets"]]: "answer of", [KIND["link up"]]: "link with",
  [KIND["link down"]]: "link with", [KIND["connects"]]: "connects to",
};

function element(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  if (text !== null) made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function list(pairs) {
  const dl = element("dl", null);
  for (const [name, value] of pairs) {
    if (value === null || value === undefined || value === "") continue;
    dl.append(element("dt", name), element("dd", value));
  }
  return dl;
}

/** One line for an event, as in a log. */
function line(i) {
  const other = EVENT.other[i], way = WAY[EVENT.kind[i]];
  if (!way || other < 0) return EVENT.group[i] === G.disk ? `${kindOf(i)}: ${textOf(i)}` : textOf(i);
  return `${BEGINS[EVENT.kind[i]] ? "→" : "←"} ${LANES.all[other].name}: ${textOf(i)}`;
}

/** A zxid as people think of it. */
function zxidInWords(hex) {
  const value = BigInt(hex);
  return `${hex} (epoch ${value >> 32n}, txn ${value & 0xffffffffn})`;
}

/** What a text says, taken apart. */
function decoded(i) {
  const text = textOf(i);
  const packet = /^([A-Z]{3,})(?: (0x[0-9a-f]+))?(?:, (.*))?$/s.exec(text);
  if (packet) return [["packet", packet[1]], ["zxid", packet[2] && zxidInWords(packet[2])], ["contents", packet[3]]];
  const reply = REPLY.exec(text);
  if (reply) {
    return [["xid", reply[1]], ["watch event", reply[2]], ["znode", reply[3]], ["zxid", zxidInWords(reply[4])], ["result", reply[5]]];
  }
  const request = /^xid (-?\d+) (\w+)(?: ([^,]*))?(?:, (.*))?$/s.exec(text);
  if (request) return [["xid", request[1]], ["operation", request[2]], ["about", request[3]], ["with", request[4]]];
  const disk = /^([a-z-]+) (.*)$/s.exec(text);
  if (EVENT.group[i] === G.disk && disk) return [["operation", disk[1]], ["on", disk[2]]];
  return [["text", text]];
}

function endsOf(i) {
  const pair = EVENT.pair[i];
  if (pair < 0) {
    if (BEGINS[EVENT.kind[i]]) return [["arrives", "never, in this run"]];
    return EVENT.kind[i] === KIND["disk asked"] ? [["done", "never, in this run"]] : [];
  }
  const [from, to] = [Math.min(i, pair), Math.max(i, pair)];
  const words = EVENT.group[i] === G.disk ? ["asked", "done"] : ["leaves", "arrives"];
  const where = (e) => `${clock(EVENT.time[e])} at ${laneOf(e).name}`;
  return [[words[0], where(from)], [words[1], where(to)], ["takes", span(EVENT.time[to] - EVENT.time[from])]];
}

function stateOf(i) {
  const lane = laneOf(i), track = lane.server;
  if (!track) return null;
  const k = sampleAt(track, i);
  if (k < 0) return null;
  const behind = track.written[k] === track.durable[k] ? "" : ` (written up to ${RUN.zxids[track.written[k]]})`;
  return list([
    ["role", RUN.roles[track.role[k]]],
    ["epochs", epochs(track, k)],
    ["applied", RUN.zxids[track.applied[k]]],
    ["on disk", `${RUN.zxids[track.durable[k]]}${behind}`],
    ["sessions", `${track.sessions[k]}`],
    ["clients", `${track.connections[k]} connected, ${track.outstanding[k]} requests not answered yet`],
  ]);
}

function showPanel() {
  const panel = document.getElementById("panel"), i = view.chosen;
  panel.replaceChildren();
  document.getElementById("said").textContent = i < 0 ? "" : `${clock(EVENT.time[i])}, ${laneOf(i).name}, ${kindOf(i)}: ${line(i)}`;
  if (i < 0) {
    panel.append(element("h2", "Nothing chosen"), ...intro());
    return;
  }
  const other = EVENT.other[i], way = WAY[EVENT.kind[i]];
  const packet = decoded(i).find(([name]) => name === "packet" || name === "operation");
  panel.append(element("h2", `${laneOf(i).name}: ${packet ? packet[1] : kindOf(i)}`));
  panel.append(list([
    ["time", clock(EVENT.time[i])],
    ["event", kindOf(i)],
    [way ?? "", other >= 0 && way ? LANES.all[other].name : null],
    ...decoded(i),
    ...endsOf(i),
    ["for request", EVENT.cause[i] >= 0 ? textOf(EVENT.cause[i]) : null],
  ]));
  const jumps = element("div", null, { class: "ends" });
  if (EVENT.pair[i] >= 0) jumps.append(jump("Other end (O)", EVENT.pair[i]));
  if (EVENT.cause[i] >= 0) jumps.append(jump("Its request", EVENT.cause[i]));
  if (jumps.childElementCount) panel.append(jumps);
  const state = stateOf(i);
  if (state) panel.append(element("h3", `${laneOf(i).name} at that moment`), state);
  panel.append(element("h3", "Around it"), near(i));
}

function jump(text, to) {
  const button = element("button", text);
  button.onclick = () => choose(to, "reveal");
  return button;
}

function near(i) {
  const ul = element("ul", null, { class: "near" });
  const k = lowerBound(shown.all, i);
  for (const e of shown.all.subarray(Math.max(0, k - NEAR), k + NEAR + 1)) {
    const button = element("button", null, { title: `${laneOf(e).name}: ${line(e)}` });
    button.append(element("span", (EVENT.time[e] / 1e6).toFixed(6)), element("span", laneOf(e).name), element("span", line(e)));
    if (e === i) button.setAttribute("aria-current", "true");
    button.onclick = () => choose(e, "reveal");
    const item = element("li", null);
    item.append(button);
    ul.append(item);
  }
  return ul;
}

function intro() {
  const length = COUNT ? EVENT.time[COUNT - 1] - EVENT.time[0] : 0;
  const legend = element("dl", null);
  const packets = [
    ["--vote", "votes"], ["--proposal", "PROPOSAL"], ["--ack", "ACK"], ["--commit", "COMMIT"], ["--sync", "bringing a learner level"],
    ["--client", "clients"], ["--ping", "pings"], ["--disk", "disk"], ["--bad", "faults"],
    ["--durable", "txns on disk"], ["--written", "written, not durable yet"],
  ];
  for (const [colour, name] of packets) {
    const swatch = element("dt", null);
    swatch.append(element("span", "", { class: "swatch", style: `background: var(${colour})` }));
    legend.append(swatch, element("dd", name));
  }
  legend.append(element("dt", "┄"), element("dd", "txns applied to the tree"));
  return [
    element("p", "Choose an event in the picture, step with the arrow keys, or search."),
    list([["events", COUNT.toLocaleString("en")], ["time", span(length)], ["servers", String(RUN.servers.length)], ["clients", String(RUN.clients.length)]]),
    element("h3", "Colours"), legend,
  ];
}
