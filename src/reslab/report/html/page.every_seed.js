// Draws every seed with uPlot: what the pointer is at is named and led to its record; a click shows one experiment alone.
const told = JSON.parse(document.getElementById("every-seed-data").textContent);
const place = document.getElementById("every-seed");
const look = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const dashes = [[], [8, 4], [2, 3], [8, 3, 2, 3]];
const plots = [];
let alone = null;

const number = (experiment) => told.experiments.indexOf(experiment);
const colour = (experiment) => look(`--c${number(experiment) % 7}`);
const dash = (experiment) => dashes[Math.floor(number(experiment) / 7) % dashes.length];

function options(column, said) {
  const axis = { stroke: look("--ink"), grid: { stroke: look("--line"), width: 1 }, ticks: { stroke: look("--line"), width: 1 } };
  const values = (_, ticks) => ticks.map((tick) => (tick === null ? "" : String(Number(tick.toPrecision(3)))));
  return {
    title: told.titles[column], width: 400, height: 320,
    scales: { x: { time: false }, y: column === "train_loss" ? { distr: 3 } : { distr: 4, asinh: 1 } },
    axes: [{ ...axis }, { ...axis, values, size: 60 }],
    legend: { show: false }, cursor: { focus: { prox: 30 } }, focus: { alpha: 0.15 },
    series: [{}, ...told.seeds.map(({ experiment, seed }) => ({
      label: `${experiment}, seed ${seed}`, stroke: colour(experiment), dash: dash(experiment), width: 1.5, spanGaps: true, points: { show: told.epochs.length === 1 },
      show: alone === null || alone === experiment,
    }))],
    hooks: { setSeries: [(plot, index, change) => { if (index && change.focus) { plot.nearest = index; say(plot, column, said); } }],
      setCursor: [(plot) => { if (plot.nearest) say(plot, column, said); }] },
  };
}

function say(plot, column, said) {
  const seed = told.seeds[plot.nearest - 1];
  const value = seed.values[column][plot.cursor.idx];
  if (value === undefined || value === null) return;
  said.textContent = `${seed.experiment}, seed ${seed.seed}, epoch ${told.epochs[plot.cursor.idx]}: ${value} `;
  const link = said.appendChild(document.createElement("a"));
  link.href = `#${seed.record}`;
  link.textContent = "record";
}

function isolate(experiment) {
  alone = alone === experiment ? null : experiment;
  for (const button of place.querySelectorAll("button")) button.setAttribute("aria-pressed", button.value === alone);
  for (const plot of plots) {
    plot.batch(() => told.seeds.forEach((seed, index) => plot.setSeries(index + 1, { show: !alone || alone === seed.experiment })));
  }
}

function draw() {
  for (const plot of plots.splice(0)) plot.destroy();
  for (const figure of place.querySelectorAll("figure")) {
    const column = figure.dataset.column;
    const plot = new uPlot(options(column, figure.querySelector("figcaption")),
      [told.epochs, ...told.seeds.map((seed) => seed.values[column])], figure.querySelector("div"));
    plot.over.addEventListener("click", () => { if (plot.nearest) isolate(told.seeds[plot.nearest - 1].experiment); });
    plot.setSize({ width: figure.clientWidth, height: 320 });
    plots.push(plot);
  }
}

for (const experiment of told.experiments) {
  const button = place.querySelector(".names").appendChild(document.createElement("button"));
  button.value = button.textContent = experiment;
  button.setAttribute("aria-pressed", false);
  button.style.setProperty("--own", `var(--c${number(experiment) % 7})`);
  button.addEventListener("click", () => isolate(experiment));
}
place.hidden = false;
draw();
addEventListener("resize", () => plots.forEach((plot) => plot.setSize({ width: plot.root.closest("figure").clientWidth, height: 320 })));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
