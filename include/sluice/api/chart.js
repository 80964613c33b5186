// One metric of successive evaluations as an SVG image: a line for each retriever, the interval of all together as a
// band, and a vertical line where another generation begins. Text only.

import { shape } from "./picture.js";

const NARROW = matchMedia("(max-width: 560px)");
const WIDE_PX = 860;
const NARROW_PX = 380;
const HEIGHT_PX = 270;
const BOX = { left: 44, right: 14, top: 52, bottom: 28 };
const TICKS = 4;
const LEGEND_PX = 112; // most width of one entry
const DASHES = ["second", "third", "fourth"];

const day = (value) => new Date(value).toISOString().slice(0, 10);

// The axis covers all values and the interval, in steps that are easy to read.
function scale(points) {
  const values = points.flatMap(({ series, low, high }) => [...Object.values(series), low, high]);
  const [lowest, highest] = [Math.min(...values), Math.max(...values)];
  const step = [0.01, 0.02, 0.05, 0.1, 0.25].find((size) => (highest - lowest) / size <= TICKS) ?? 0.25;
  const from = Math.max(0, Math.floor(lowest / step) * step);
  let to = Math.min(1, Math.ceil(highest / step) * step);
  if (to - from < step) to = from + step;
  return { from, to, step };
}

function frame(points, width) {
  const { from, to, step } = scale(points);
  const [inner, height] = [width - BOX.left - BOX.right, HEIGHT_PX - BOX.top - BOX.bottom];
  const x = (at) => BOX.left + (points.length === 1 ? inner / 2 : (at * inner) / (points.length - 1));
  const y = (value) => BOX.top + height * (1 - (value - from) / (to - from));
  const ticks = Array.from({ length: Math.round((to - from) / step) + 1 }, (_, at) => from + at * step);
  return { x, y, ticks, digits: Math.max(1, String(step).length - 2), width };
}

function grid({ y, ticks, digits, width }) {
  return ticks.flatMap((value) => [
    shape("line", { class: "grid", x1: BOX.left, x2: width - BOX.right, y1: y(value), y2: y(value) }),
    shape("text", { x: BOX.left - 6, y: y(value) + 4, "text-anchor": "end" }, value.toFixed(digits)),
  ]);
}

function path(points, of, { x, y }) {
  let drawing = false;
  return points.map((point, at) => {
    const value = of(point);
    if (value === undefined) {
      drawing = false;
      return "";
    }
    const command = `${drawing ? "L" : "M"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
    drawing = true;
    return command;
  }).join("");
}

function band(points, place) {
  const upper = path(points, ({ high }) => high, place);
  const lower = points.map(({ low }, at) => `L${place.x(at).toFixed(1)} ${place.y(low).toFixed(1)}`).reverse().join("");
  return shape("path", { class: "band", d: `${upper}${lower}Z` });
}

// One evaluation has no line: its interval is a bar, and each retriever a dash.
function alone([{ series, low, high }], { x, y }, dashes) {
  const middle = x(0);
  const bar = shape("line", { class: "series fused interval", x1: middle, x2: middle, y1: y(low), y2: y(high) });
  const values = Object.entries(series).map(([name, value]) => shape("line", { class: `series ${dashes[name]}`, x1: middle - 36, x2: middle + 36, y1: y(value), y2: y(value) }));
  return [bar, ...values];
}

function generations(points, { x }) {
  return points.flatMap(({ generation }, at) => {
    if (at === 0 || generation === points[at - 1].generation) return [];
    const middle = (x(at) + x(at - 1)) / 2;
    return [
      shape("line", { class: "generation", x1: middle, x2: middle, y1: BOX.top - 6, y2: HEIGHT_PX - BOX.bottom }),
      shape("text", { x: middle, y: BOX.top - 10, "text-anchor": "middle" }, `generation ${generation}`),
    ];
  });
}

function marks(points, { x, y }) {
  return points.map(({ series, result, words }, at) => {
    const [cx, cy] = [x(at), y(series.fused)];
    const mark = result === "passed"
      ? shape("circle", { class: "point", cx, cy, r: 4 })
      : shape("path", { class: `point ${result}`, d: `M${cx} ${cy - 8}L${cx + 8} ${cy + 6}L${cx - 8} ${cy + 6}Z` });
    mark.append(shape("title", {}, words));
    return mark;
  });
}

function legend(names, dashes, { width }) {
  const entry = Math.min(LEGEND_PX, (width - BOX.left) / names.length);
  return names.flatMap((name, at) => {
    const left = BOX.left + at * entry;
    const line = { class: `series ${dashes[name]}`, x1: left, x2: left + 26, y1: 14, y2: 14 };
    return [shape("line", line), shape("text", { x: left + 32, y: 18 }, name)];
  });
}

function dates(points, { x, width }) {
  const first = shape("text", { x: BOX.left, y: HEIGHT_PX - 8 }, day(points[0].at));
  if (points.length === 1) return [shape("text", { x: x(0), y: HEIGHT_PX - 8, "text-anchor": "middle" }, day(points[0].at))];
  const last = { x: width - BOX.right, y: HEIGHT_PX - 8, "text-anchor": "end" };
  return [first, shape("text", last, day(points.at(-1).at))];
}

function drawn(title, points) {
  const width = NARROW.matches ? NARROW_PX : WIDE_PX;
  const names = [...new Set(points.flatMap(({ series }) => Object.keys(series)))].sort((one, other) => (other === "fused") - (one === "fused") || one.localeCompare(other));
  const place = frame(points, width);
  const dashes = Object.fromEntries(names.map((name, at) => [name, name === "fused" ? "fused" : DASHES[(at - 1) % DASHES.length]]));
  const lines = points.length === 1 ? alone(points, place, dashes) : names.toReversed().map((name) => shape("path", { class: `series ${dashes[name]}`, d: path(points, ({ series }) => series[name], place) }));
  return shape(
    "svg",
    { class: "chart", viewBox: `0 0 ${width} ${HEIGHT_PX}`, role: "img" },
    shape("title", {}, title),
    shape("desc", {}, points.map(({ words }) => words).join(". ")),
    ...grid(place),
    ...generations(points, place),
    ...(points.length === 1 ? [] : [band(points, place)]),
    ...lines,
    ...marks(points, place),
    ...legend(names, dashes, place),
    ...dates(points, place),
  );
}

// `points`: { at, generation, series: retriever → value, low, high, result, words }, the oldest first.
export function chart(where, title, points) {
  const draw = () => where.replaceChildren(drawn(title, points));
  draw();
  NARROW.addEventListener("change", draw);
}
