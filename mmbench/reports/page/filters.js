"use strict";
// The samples of a set, and which of them a reader asks to see.

mmbench.Samples = class {
  constructor(data, files) {
    this.data = data;
    this.files = files;
    this.count = data.ids.length;
    this.seeds = [...new Set(data.runs.map((run) => run.seed))].sort((a, b) => a - b);
    this.places = new Map(data.ids.map((id, place) => [id, place]));
    this.texts = [];
    this.byModel = data.models.map((_, model) => data.runs.filter((run) => run.model === model));
  }

  // The run of a model with the seed; of a model that was not trained with it, its first run.
  run(model, seed) {
    const runs = this.byModel[model];
    return runs.find((run) => run.seed === seed) ?? runs[0];
  }

  lines(column, place) {
    return column.values[column.codes[place]];
  }

  category(place) {
    const found = this.data.categories;
    return found ? found.values[found.codes[place]] : "";
  }

  answer(run, place) {
    return run.answers.values[run.answers.codes[place]];
  }

  // A number; null where the metric is not about the sample, or the run has no such metric.
  score(run, metric, place) {
    const found = run.scores[metric];
    return found ? found.values[found.codes[place]] : null;
  }

  file(place) {
    const file = this.files[place];
    const type = file[0] === "s" ? "audio/wav" : "image/webp";
    return `data:${type};base64,${file.slice(1)}`;
  }

  // All that a search looks at but answers, in lower case.
  text(place) {
    if (this.texts[place] === undefined) {
      const lines = this.data.columns.flatMap((column) => this.lines(column, place));
      this.texts[place] = [this.data.ids[place], ...lines].join("\n").toLowerCase();
    }
    return this.texts[place];
  }
};

mmbench.OUTCOMES = {
  binary: [
    ["any", "all samples"],
    ["a_not_b", "A right, B wrong"],
    ["both", "A and B right"],
    ["neither", "A and B wrong"],
    ["some", "models disagree: some right, some wrong"],
    ["all", "all models right"],
    ["none", "all models wrong"],
    ["differ", "answers differ"],
  ],
  graded: [
    ["any", "all samples"],
    ["a_not_b", "A better than B, by most first"],
    ["some", "models disagree: other values"],
    ["differ", "answers differ"],
  ],
  unscored: [["any", "all samples"], ["differ", "answers differ"]],
};

// The places of the samples that fit, in their order; `choice` as `Browser.choice` makes it.
mmbench.fitting = (samples, choice) => {
  const { seed, metric, outcome, text, category } = choice;
  const about = samples.data.metrics[metric];
  const shown = choice.models.map((model) => samples.run(model, seed));
  const a = samples.run(choice.a, seed);
  const b = samples.run(choice.b, seed);
  const value = (run, place) => samples.score(run, metric, place);
  const better = (one, other) => one !== null && other !== null &&
    (about.higher ? one > other : one < other);
  const outcomes = {
    any: () => true,
    a_not_b: (place) => better(value(a, place), value(b, place)),
    both: (place) => value(a, place) === 1 && value(b, place) === 1,
    neither: (place) => value(a, place) === 0 && value(b, place) === 0,
    some: (place) => new Set(values(place)).size > 1,
    all: (place) => values(place).length > 0 && values(place).every((found) => found === 1),
    none: (place) => values(place).length > 0 && values(place).every((found) => found === 0),
    differ: (place) => new Set(shown.map((run) => samples.answer(run, place))).size > 1,
  };
  const fits = outcomes[outcome];
  const wanted = text.trim().toLowerCase();
  const found = [];
  for (let place = 0; place < samples.count; place += 1) {
    if (category && samples.category(place) !== category) continue;
    if (about && !asked(place)) continue;
    if (!fits(place)) continue;
    if (wanted && !holds(place)) continue;
    found.push(place);
  }
  return found;

  function values(place) {
    return shown.map((run) => value(run, place)).filter((each) => each !== null);
  }

  // Whether the metric is about the sample, as the recall of texts is not about images that ask.
  function asked(place) {
    return samples.data.runs.some((run) => samples.score(run, metric, place) !== null);
  }

  function holds(place) {
    if (samples.text(place).includes(wanted)) return true;
    return shown.some((run) => !run.answers.pictures &&
      samples.answer(run, place).toLowerCase().includes(wanted));
  }
};
