"use strict";
// One sample, with every model's answer side by side.

mmbench.Browser.prototype.fillDetail = function fillDetail(place) {
  const { samples } = this;
  const { data } = samples;
  const choice = this.choice;
  const texts = data.columns.filter((column) => samples.lines(column, place).length);
  const category = samples.category(place);
  const parts = [
    mmbench.element("h3", {}, mmbench.element("a", { href: mmbench.link(data.key, data.ids[place]) },
      mmbench.element("bdi", { textContent: data.ids[place] }))),
  ];
  if (category) parts.push(mmbench.element("p", { className: "category" },
    "category ", mmbench.element("bdi", { textContent: category })));
  const media = data.media.filter((column) => column.codes[place] >= 0);
  parts.push(mmbench.element("div", { className: "media" }, ...media.map((column) => {
    const medium = column.codes[place];
    const parts = [this.picture(column.pictures[medium], column.name)];
    if (column.sounds) parts.push(mmbench.element("audio",
      { controls: true, preload: "none", src: samples.file(column.sounds[medium]) }));
    return mmbench.element("figure", { className: column.kind }, ...parts,
      mmbench.element("figcaption", { textContent: column.name }));
  })));
  const told = texts.flatMap((column) => [
    mmbench.element("dt", { textContent: column.name }),
    mmbench.element("dd", {}, this.linesOf(column, place)),
  ]);
  parts.push(mmbench.element("dl", {}, ...told));
  parts.push(answers(this));
  const detail = document.getElementById("detail");
  document.getElementById("content").replaceChildren(...parts);
  detail.dataset.sample = data.ids[place];
  detail.hidden = false;

  function answers(browser) {
    const several = samples.seeds.length > 1 && data.metrics[choice.metric]?.binary;
    const heads = ["model", data.answer_shown, ...(several ? ["seeds right"] : [])];
    const rows = data.models.map((name, model) => {
      const run = samples.run(model, choice.seed);
      const shown = mmbench.breakable(name + browser.otherSeed(model, choice.seed));
      const cells = [mmbench.element("td", {},
        browser.answerIn(run, place, choice.metric), scores(run))];
      if (several) cells.push(mmbench.element("td", { textContent: seedsRight(model) }));
      return mmbench.element("tr", {}, mmbench.element("th", { scope: "row" }, shown), ...cells);
    });
    const head = heads.map((text) => mmbench.element("th", { scope: "col", textContent: text }));
    return mmbench.element("div", { className: "grid" }, mmbench.element("table", { className: "plain" },
      mmbench.element("caption", { textContent: "Answers" }),
      mmbench.element("thead", {}, mmbench.element("tr", {}, ...head)),
      mmbench.element("tbody", {}, ...rows)));
  }

  // What the answer scored by the other metrics that are about the sample.
  function scores(run) {
    const known = data.metrics
      .map((about, metric) => ({ about, score: samples.score(run, metric, place), metric }))
      .filter((each) => each.metric !== choice.metric && each.score !== null);
    return mmbench.element("span", { className: "scores" }, ...known.map(({ about, score }) =>
      mmbench.element("small",
        { textContent: `${about.title} ${mmbench.number(score * about.scale)}` })));
  }

  function seedsRight(model) {
    const scores = samples.byModel[model].map((run) => samples.score(run, choice.metric, place))
      .filter((score) => score !== null);
    return `${scores.filter((score) => score === 1).length} of ${scores.length}`;
  }
};
