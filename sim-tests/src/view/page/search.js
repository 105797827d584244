// Search: words, zxids and packet types, of all lanes or of one that is named.

const search = { query: "", hits: new Int32Array(0), lower: null };

/** Splits what was typed into a lane, if one is named, and words. */
function parseQuery(query) {
  const lanes = [];
  const rest = query.toLowerCase().replace(/\b(server|client) (\d+)\b/g, (_, kind, id) => {
    const lane = LANES.all.find((l) => l.kind === kind && l.id === Number(id));
    lanes.push(lane ? lane.number : -1);
    return " ";
  });
  return { lanes, words: rest.split(/\s+/).filter(Boolean).slice(0, 30) };
}

/** A zxid is found whole: 0x10 is not what 0x100 is about. */
function contains(text, word) {
  if (!/^0x[0-9a-f]+$/.test(word)) return text.includes(word);
  for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + 1)) {
    const next = text[at + word.length];
    if (next === undefined || !/[0-9a-f]/.test(next)) return true;
  }
  return false;
}

/** Which of the words each text has, as bits; all texts are looked at once, however often they are said. */
function bitsOf(texts, words) {
  return Uint32Array.from(texts, (text) => words.reduce((bits, word, k) => bits | (contains(text, word) ? 1 << k : 0), 0));
}

function find(query) {
  search.query = query.trim();
  search.hits = new Int32Array(0);
  if (!search.query) return;
  search.lower ??= RUN.texts.map((text) => text.toLowerCase());
  const { lanes, words } = parseQuery(search.query);
  const want = 2 ** words.length - 1;
  const texts = bitsOf(search.lower, words), kinds = bitsOf(RUN.kinds, words);
  search.hits = shown.all.filter((i) =>
    (texts[EVENT.text[i]] | kinds[EVENT.kind[i]]) === want && (!lanes.length || lanes.includes(EVENT.lane[i])));
}

/** The hit before or behind an event, around the end if need be; −1 if there is none. */
function hitFrom(event, step) {
  const { hits } = search;
  if (!hits.length) return -1;
  const k = lowerBound(hits, event);
  if (step < 0) return hits[(k - 1 + hits.length) % hits.length];
  return hits[hits[k] === event ? (k + 1) % hits.length : k % hits.length];
}

const isHit = (i) => search.hits[lowerBound(search.hits, i)] === i;
