// Marks the question's words in a passage with text nodes and <mark>: ingested text never becomes HTML.

// As in the index (embedding/bm25.py): invisible characters belong to the word, and accents are ignored.
const WORD = /[\p{L}\p{N}][\p{L}\p{N}\p{M}\u00ad\u200b-\u200d\u2060]*/gu;
const UNSEEN = /[\u0300-\u036f\u00ad\u200b-\u200d\u2060]/gu;
const STOP = new Set(("a an and are as at be but by can could did do does for from had has have how i if in into is it its " +
  "me my no not of on or our shall should so than that the their them then there these they this to was we were what " +
  "when where which who whom why will with would you your").split(" "));
const SNIPPET_CHARS = 360;
const LEAD_CHARS = 90;

// "policies" shares a stem with "policy", "indexing" with "index". An approximation, used for display only.
function stem(word) {
  return word.length > 4 ? word.replace(/(ations?|ings?|edly|ed|ies|es|s|ly|y|e)$/u, "") : word;
}

function plain(word) {
  return word.toLowerCase().normalize("NFKD").replace(UNSEEN, "").replaceAll("ı", "i");
}

export function stemsOf(question) {
  const words = (question.match(WORD) ?? []).map(plain);
  const terms = words.filter((word) => !STOP.has(word));
  return new Set((terms.length ? terms : words).map(stem));
}

function matches(text, stems) {
  const found = [];
  for (const match of text.matchAll(WORD)) {
    const word = plain(match[0]);
    if (stems.has(word) || stems.has(stem(word))) found.push([match.index, match.index + match[0].length]);
  }
  return found;
}

// The section of SNIPPET_CHARS with the most different matched words, cut between words.
export function snippet(text, stems) {
  if (text.length <= SNIPPET_CHARS * 1.25) return { start: 0, end: text.length };
  const found = matches(text, stems);
  let best = { start: 0, kinds: -1 };
  for (const [from] of found) {
    const start = Math.max(0, from - LEAD_CHARS);
    const inside = found.filter(([a, b]) => a >= start && b <= start + SNIPPET_CHARS);
    const kinds = new Set(inside.map(([a, b]) => stem(plain(text.slice(a, b))))).size;
    if (kinds > best.kinds) best = { start, kinds };
  }
  let { start } = best;
  let end = Math.min(text.length, start + SNIPPET_CHARS);
  while (start > 0 && !/\s/u.test(text[start - 1])) start -= 1;
  while (end < text.length && !/\s/u.test(text[end])) end += 1;
  return { start, end };
}

export function marked(text, stems) {
  const fragment = document.createDocumentFragment();
  let at = 0;
  for (const [from, to] of matches(text, stems)) {
    fragment.append(text.slice(at, from));
    const mark = document.createElement("mark");
    mark.textContent = text.slice(from, to);
    fragment.append(mark);
    at = to;
  }
  fragment.append(text.slice(at));
  return fragment;
}
