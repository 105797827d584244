// Colours, from the style sheet: it knows whether it is dark.

let colours = {};

function readColours() {
  const style = getComputedStyle(document.documentElement);
  colours = new Proxy({}, {
    get(known, name) {
      known[name] ??= style.getPropertyValue(name).trim();
      return known[name];
    },
  });
}

const ROLE_COLOUR = RUN.roles.map((name) => `--${name.replace(" ", "-")}`);
/** Packets by what they are for; what is not here brings a learner level. */
const PACKET_COLOUR = {
  PROPOSAL: "--proposal", INFORM: "--proposal", ACK: "--ack", COMMIT: "--commit", VOTE: "--vote", PING: "--ping",
  REQUEST: "--client", REVALIDATE: "--client", SYNC: "--client",
};
/** By text, so that no event has to be looked at twice. */
const TEXT_COLOUR = RUN.texts.map((text) => {
  const name = /^[A-Z]{3,}\b/.exec(text);
  return name ? PACKET_COLOUR[name[0]] ?? "--sync" : null;
});

function colourOf(i) {
  const group = EVENT.group[i];
  const packet = group === G.packets || group === G.votes || group === G.pings ? TEXT_COLOUR[EVENT.text[i]] : null;
  return colours[packet ?? GROUPS[group].colour];
}
