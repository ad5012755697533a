"use strict";
// The browser of samples: filters, a list, and one sample with every model's answer.

mmbench.SHOWN_AT_FIRST = 6; // models
mmbench.ROW_HEIGHT = 70; // pixels: three lines, as the style sheet has them
mmbench.Browser = class {
  constructor(samples, place, selected) {
    this.samples = samples;
    this.place = place; // of the sample to be shown; null for none
    this.selected = selected; // called with a sample's place when a reader chooses it
    this.controls = Object.fromEntries(
      ["outcome", "a", "b", "category", "metric", "seed", "text", "models"]
        .map((name) => [name, document.getElementById(name)]));
    this.narrow = matchMedia("(max-width: 760px)");
    this.listeners = new AbortController();
    this.fillControls();
    if (place !== null) {
      this.chooseMetricFor(place);
      this.fillDetail(place);
    }
    this.makeList();
    this.narrow.addEventListener("change", () => this.makeList(), this.listeners);
  }

  close() {
    this.listeners.abort();
    this.table.destroy();
    document.getElementById("detail").hidden = true;
  }

  get choice() {
    const { outcome, a, b, category, metric, seed, text, models } = this.controls;
    return {
      outcome: outcome.value,
      a: Number(a.value),
      b: Number(b.value),
      category: category.value,
      metric: Number(metric.value),
      seed: Number(seed.value),
      text: text.value,
      models: this.models(),
    };
  }

  // Those that are ticked; A and B stand first where they are compared.
  models() {
    const { outcome, a, b, models } = this.controls;
    const compared = ["a_not_b", "both", "neither"].includes(outcome.value) ? [a, b] : [];
    const ticked = models.querySelectorAll("input:checked");
    return [...new Set([...compared, ...ticked].map((each) => Number(each.value)))];
  }

  fillControls() {
    const { data, seeds } = this.samples;
    const { outcome, a, b, category, metric, seed, text, models } = this.controls;
    const numbered = (names) => names.map((name, place) => [place, name]);
    const categories = data.categories ? data.categories.values.filter(Boolean).sort() : [];
    fill(a, numbered(data.models));
    fill(b, numbered(data.models));
    b.selectedIndex = Math.min(1, data.models.length - 1);
    fill(category, [["", "all"], ...categories.map((name) => [name, name])], categories.length);
    fill(metric, numbered(data.metrics.map((each) => each.title)), data.metrics.length > 1);
    fill(seed, seeds.map((each) => [each, String(each)]), seeds.length > 1);
    text.value = "";
    const boxes = data.models.map((name, place) => mmbench.element("label", {},
      mmbench.element("input",
        { type: "checkbox", value: place, checked: place < mmbench.SHOWN_AT_FIRST }),
      mmbench.element("bdi", { textContent: name })));
    const legend = models.querySelector("legend");
    models.querySelector("fieldset").replaceChildren(legend, ...boxes);
    this.fillOutcomes();
    const change = (event) => {
      if (event.target === metric) this.fillOutcomes();
      if (event.target === text || event.target === category) this.update();
      else this.makeList();
    };
    const form = document.getElementById("filters");
    form.addEventListener("change", (event) => event.target.id !== "set" && change(event),
      this.listeners);
    text.addEventListener("input", () => {
      clearTimeout(this.waiting);
      this.waiting = setTimeout(() => this.update(), 150);
    }, this.listeners);

    function fill(select, options, wanted = true) {
      select.replaceChildren(...options.map(([value, words]) =>
        mmbench.element("option", { value, textContent: words })));
      select.closest("label").hidden = !wanted;
    }
  }

  fillOutcomes() {
    const about = this.samples.data.metrics[this.controls.metric.value];
    const kind = about ? (about.binary ? "binary" : "graded") : "unscored";
    const before = this.controls.outcome.value;
    this.controls.outcome.replaceChildren(...mmbench.OUTCOMES[kind].map(([value, words]) =>
      mmbench.element("option", { value, textContent: words, selected: value === before })));
  }

  makeList() {
    this.table?.destroy();
    const rows = this.rows();
    const columns = this.narrow.matches ? [this.card()] : this.columns(rows);
    this.made = new Promise((done) => {
      this.table = new Tabulator("#list", {
        data: rows,
        columns,
        index: "place",
        layout: "fitColumns",
        ...(this.narrow.matches ? {} : { rowHeight: mmbench.ROW_HEIGHT }),
        height: this.narrow.matches ? "60vh" : "min(72vh, 900px)",
        placeholder: "No sample fits.",
        rowFormatter: (row) =>
          row.getElement().classList.toggle("chosen", row.getData().place === this.place),
      });
      this.table.on("tableBuilt", done);
      this.table.on("rowClick", (event, row) => {
        if (!event.target.closest("a, audio")) this.selected(row.getData().place);
      });
    });
  }

  async update() {
    await this.made;
    await this.table.replaceData(this.rows());
    this.tellPlace();
  }

  // A row a sample that fits: its place, and by model what the list is sorted by.
  rows() {
    const choice = this.choice;
    const { samples } = this;
    const found = mmbench.fitting(samples, choice);
    const score = (run, place) => samples.score(run, choice.metric, place) ?? -Infinity;
    const runs = choice.models.map((model) => samples.run(model, choice.seed));
    if (choice.outcome === "a_not_b" && !samples.data.metrics[choice.metric].binary) {
      const [a, b] = [choice.a, choice.b].map((model) => samples.run(model, choice.seed));
      const ahead = new Map(found.map((place) =>
        [place, Math.abs(score(a, place) - score(b, place))]));
      found.sort((one, other) => ahead.get(other) - ahead.get(one));
    }
    const { total } = samples.data;
    const drawn = total > samples.count ? ` (drawn at random from ${mmbench.count(total)})` : "";
    document.getElementById("count").textContent =
      `${mmbench.count(found.length)} of ${mmbench.count(samples.count)} samples${drawn}`;
    document.getElementById("count").dataset.count = found.length;
    return found.map((place) => {
      const row = { place, right: 0 };
      runs.forEach((run, k) => {
        row[`m${k}`] = score(run, place);
        row.right += Math.max(0, row[`m${k}`]);
      });
      return row;
    });
  }

  columns(rows) {
    const { data } = this.samples;
    const choice = this.choice;
    const about = data.metrics[choice.metric];
    const told = data.columns.filter((column) =>
      rows.some(({ place }) => this.samples.lines(column, place).length));
    const texts = told.map((column, place) => ({
      ...this.column(`t${place}`, column.name, (row) => this.linesOf(column, row.place)),
      sorter: (a, b, one, other) => this.samples.lines(column, one.getData().place).join()
        .localeCompare(this.samples.lines(column, other.getData().place).join()),
      ...(this.short(column) ? { minWidth: 90 } : { minWidth: 170, widthGrow: 2 }),
    }));
    const models = choice.models.map((model, k) => ({
      ...this.column(`m${k}`, data.models[model] + this.otherSeed(model, choice.seed),
        (row) => this.answerOf(model, row.place, choice)),
      headerSortStartingDir: "desc",
      minWidth: 122,
    }));
    const counted = about?.binary && choice.models.length > 1 ? [{
      ...this.column("right", "right", (row) => `${row.right} of ${choice.models.length}`),
      width: 92,
    }] : [];
    const first = this.column("place", "sample", (row) => this.sampleOf(row.place));
    return [{ ...first, width: 110 + 54 * Math.min(2, data.media.length), frozen: true }, ...texts, ...counted, ...models];
  }

  // Whether the texts are words rather than sentences.
  short(column) {
    return column.values.every((lines) => lines.join(" ").length < 20);
  }

  column(field, name, content) {
    return {
      title: field,
      field,
      titleFormatter: mmbench.headButton(name, name),
      vertAlign: "middle",
      formatter: (cell) => mmbench.element("div", { className: "clamped" }, content(cell.getData())),
    };
  }

  // On a narrow screen, a sample in one cell.
  card() {
    const choice = this.choice;
    return {
      ...this.column("place", "sample", (row) => mmbench.element("div", { className: "card" },
        this.sampleOf(row.place),
        ...this.samples.data.columns.filter((column) => this.samples.lines(column, row.place).length)
          .slice(0, 2).map((column) => this.linesOf(column, row.place)),
        ...choice.models.map((model) => mmbench.element("div", { className: "pair" },
          mmbench.element("bdi", { textContent: this.samples.data.models[model] }),
          this.answerOf(model, row.place, choice))))),
      variableHeight: true,
    };
  }

  otherSeed(model, seed) {
    const found = this.samples.run(model, seed).seed;
    return found === seed ? "" : ` (seed ${found})`;
  }

  sampleOf(place) {
    const { data } = this.samples;
    const shown = data.media.filter((column) => column.codes[place] >= 0).slice(0, 2);
    return mmbench.element("span", { className: "sample" },
      ...shown.map((column) => Object.assign(
        this.picture(column.pictures[column.codes[place]], column.name),
        { className: column.kind })),
      mmbench.element("a", { href: mmbench.link(data.key, data.ids[place]) },
        mmbench.element("bdi", { textContent: data.ids[place] })));
  }

  picture(file, alt) {
    return mmbench.element("img", { src: this.samples.file(file), alt, decoding: "async" });
  }

  linesOf(column, place) {
    return mmbench.element("span", { className: "lines" },
      ...this.samples.lines(column, place).map(mmbench.breakable));
  }

  answerOf(model, place, choice) {
    return this.answerIn(this.samples.run(model, choice.seed), place, choice.metric);
  }

  answerIn(run, place, metric) {
    const answer = this.samples.answer(run, place);
    const about = this.samples.data.metrics[metric];
    const score = about ? this.samples.score(run, metric, place) : null;
    const parts = [run.answers.pictures ? this.picture(answer, "the image that it made")
      : mmbench.element("bdi", { textContent: answer })];
    let kind = "";
    if (score !== null && about.binary) {
      kind = (score === 1) === about.higher ? "right" : "wrong";
      parts.unshift(mmbench.element("b",
        { textContent: kind === "right" ? "\u2713" : "\u2717", title: kind }));
    } else if (score !== null) {
      parts.unshift(mmbench.element("small",
        { textContent: mmbench.number(score * about.scale), title: about.title }));
    }
    return mmbench.element("span", { className: `answer ${kind}` }, ...parts);
  }

  // The rows of the list, in the order that they are in.
  order() {
    return this.table.getRows("active").map((row) => row.getData().place);
  }

  async step(by) {
    await this.made;
    const order = this.order();
    const at = order.indexOf(this.place);
    const wanted = at < 0 ? (by > 0 ? 0 : order.length - 1) : at + by;
    if (order[wanted] !== undefined) this.selected(order[wanted]);
  }

  async show(place) {
    await this.made;
    const last = this.place;
    this.place = place;
    const changed = this.chooseMetricFor(place) || document.getElementById("detail").hidden;
    this.fillDetail(place);
    if (changed) this.makeList();
    await this.made;
    this.row(last)?.reformat();
    const row = this.row(place);
    if (row) {
      row.reformat();
      await this.table.scrollToRow(row, "center", false).catch(() => undefined);
    }
    this.tellPlace();
  }

  // Where the metric is not about a sample that is asked for, the first one that is.
  chooseMetricFor(place) {
    const { data } = this.samples;
    const about = data.metrics.map((_, k) => k).filter((k) =>
      data.runs.some((run) => this.samples.score(run, k, place) !== null));
    if (!about.length || about.includes(Number(this.controls.metric.value))) return false;
    this.controls.metric.value = about[0];
    this.fillOutcomes();
    return true;
  }

  row(place) {
    return this.table.searchRows("place", "=", place)[0];
  }

  tellPlace() {
    const order = this.order();
    const at = order.indexOf(this.place);
    document.getElementById("previous").disabled = at === 0 || !order.length;
    document.getElementById("next").disabled = at === order.length - 1;
    document.getElementById("place").textContent =
      at < 0 ? "not among the samples listed" : `${mmbench.count(at + 1)} of ${mmbench.count(order.length)}`;
  }
};

mmbench.count = (value) => value.toLocaleString("en");
mmbench.number = (value) =>
  Math.abs(value) >= 1000 ? value.toFixed(0) : String(Number(value.toPrecision(4)));
