// Boxes and arrows as one SVG image: in a row on wide screens, in a column on narrow ones. Text only.

const SVG = "http://www.w3.org/2000/svg";
const PAD = 12;
const WIDE = { box: 164, gap: 26, height: 104 };
const TALL = { box: 320, gap: 22, height: 100 };
const NARROW = matchMedia("(max-width: 720px)");

export function shape(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

// Cuts the middle of a text that is too wide, because the end of a path matters most.
function fit(text, width) {
  const full = text.textContent;
  if (text.getComputedTextLength() <= width) return;
  const cut = (length) => `${full.slice(0, Math.ceil(length / 3))}…${full.slice(full.length - Math.floor((2 * length) / 3))}`;
  let [fits, tooWide] = [0, full.length];
  while (tooWide - fits > 1) {
    const length = (fits + tooWide) >> 1;
    text.textContent = cut(length);
    if (text.getComputedTextLength() > width) tooWide = length;
    else fits = length;
  }
  text.textContent = cut(fits);
}

function box({ kind, name, lines, state }, { x, y, box: width, height }) {
  const texts = [
    shape("text", { class: "kind", x: x + PAD, y: y + 22 }, kind),
    shape("text", { class: "name", x: x + PAD, y: y + 44 }, name),
    ...lines.map((line, at) => shape("text", { class: "line", x: x + PAD, y: y + 65 + at * 18 }, line)),
  ];
  return shape("g", { class: `box ${state ?? ""}` }, shape("rect", { x, y, width, height, rx: 9 }), ...texts);
}

function arrow(from, to) {
  const [dx, dy] = [Math.sign(to.x - from.x), Math.sign(to.y - from.y)];
  const tip = [to.x - 3 * dx, to.y - 3 * dy];
  const head = `M${tip[0] - 7 * dx - 5 * dy} ${tip[1] - 7 * dy - 5 * dx}L${tip[0]} ${tip[1]}L${tip[0] - 7 * dx + 5 * dy} ${tip[1] - 7 * dy + 5 * dx}`;
  return shape("path", { class: "arrow", d: `M${from.x + 3 * dx} ${from.y + 3 * dy}L${tip[0]} ${tip[1]}${head}` });
}

function drawn(title, boxes) {
  const tall = NARROW.matches;
  const size = tall ? TALL : WIDE;
  const step = (tall ? size.height : size.box) + size.gap;
  const places = boxes.map((_, at) => ({ ...size, x: 1 + (tall ? 0 : at * step), y: 1 + (tall ? at * step : 0) }));
  const last = places.at(-1);
  const [width, height] = [last.x + size.box + 1, last.y + size.height + 1];
  const description = boxes.map(({ kind, name, lines }) => `${kind}: ${[name, ...lines].join(", ")}`).join(". Then ");
  const arrows = places.slice(1).map((to, at) => {
    const from = places[at];
    return tall
      ? arrow({ x: from.x + size.box / 2, y: from.y + size.height }, { x: from.x + size.box / 2, y: to.y })
      : arrow({ x: from.x + size.box, y: from.y + size.height / 2 }, { x: to.x, y: from.y + size.height / 2 });
  });
  return shape(
    "svg",
    { class: tall ? "picture tall" : "picture", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-labelledby": "picture-title picture-desc" },
    shape("title", { id: "picture-title" }, title),
    shape("desc", { id: "picture-desc" }, `${description}.`),
    ...arrows,
    ...boxes.map((each, at) => box(each, places[at])),
  );
}

// `boxes`: { kind, name, lines, state: passed | warning | failed }, in the order of the arrows.
export function picture(where, title, boxes) {
  const draw = () => {
    where.replaceChildren(drawn(title, boxes));
    const { box: width } = NARROW.matches ? TALL : WIDE;
    for (const text of where.querySelectorAll("text")) fit(text, width - 2 * PAD);
  };
  draw();
  NARROW.addEventListener("change", draw);
}
