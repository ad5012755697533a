"use strict";
// What the address asks for: a section (#section=...), a set of samples (#set=...&view=samples),
// or one sample (#sample=ID, with its set where there are several).

mmbench.link = (key, sample) => `#${new URLSearchParams({ set: key, sample })}`;

mmbench.main = () => {
  const sections = [...document.querySelectorAll(".section")];
  const sets = [...document.querySelectorAll("#set option")].map((option) => option.value);
  const browserPart = document.getElementById("samples");
  const loaded = new Map();
  let browser = null;
  let last = 0;

  // The samples of a set: unpacked once, when they are first asked for.
  function load(number) {
    if (!loaded.has(number)) loaded.set(number, unpack(number));
    return loaded.get(number);
  }

  async function unpack(number) {
    const packed = document.querySelectorAll("script.sample-data")[number].textContent;
    const letters = atob(packed);
    const bytes = new Uint8Array(letters.length);
    for (let place = 0; place < bytes.length; place += 1) bytes[place] = letters.charCodeAt(place);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    const data = JSON.parse(await new Response(stream).text());
    const media = document.querySelectorAll("script.sample-media")[number].textContent;
    return new mmbench.Samples(data, media ? media.split(" ") : []);
  }

  async function follow() {
    const asked = new URLSearchParams(location.hash.slice(1));
    last += 1;
    const turn = last;
    const sample = asked.get("sample");
    if (sets.length && (sample !== null || asked.get("view") === "samples")) {
      const number = await setOf(asked.get("set"), sample);
      if (turn === last) await showSamples(number, sample);
    } else {
      showSection(Math.max(0, sections.findIndex((each) => each.dataset.title === asked.get("section"))));
    }
    if (turn === last) document.documentElement.dataset.ready = String(Math.round(performance.now()));
  }

  // The number of the set that is named, or else the first that holds the sample.
  async function setOf(key, sample) {
    if (sets.includes(key)) return sets.indexOf(key);
    for (let number = 0; sample !== null && number < sets.length; number += 1) {
      if ((await load(number)).places.has(sample)) return number;
    }
    return 0;
  }

  function showSection(number) {
    if (browserPart) browserPart.hidden = true;
    sections.forEach((section, place) => { section.hidden = place !== number; });
    sections[number].querySelectorAll("table.sortable").forEach((table) => mmbench.sortable(table));
    tellCurrent(number);
  }

  async function showSamples(number, sample) {
    const samples = await load(number);
    const title = samples.data.key;
    sections.forEach((section) => { section.hidden = true; });
    const option = document.querySelectorAll("#set option")[number];
    const section = Number(option.dataset.section);
    tellCurrent(section);
    document.getElementById("to-results").href =
      `#${new URLSearchParams({ section: sections[section].dataset.title })}`;
    browserPart.hidden = false;
    document.getElementById("samples-title").replaceChildren("Samples of ",
      mmbench.element("bdi", { textContent: title }));
    document.getElementById("set").value = title;
    document.getElementById("set").closest("label").hidden = sets.length < 2;
    const note = document.getElementById("note");
    note.hidden = !samples.data.note;
    note.textContent = samples.data.note ?? "";
    const place = sample === null ? null : samples.places.get(sample);
    if (browser?.samples !== samples) {
      browser?.close();
      browser = new mmbench.Browser(samples, place ?? null, (chosen) => {
        location.hash = mmbench.link(samples.data.key, samples.data.ids[chosen]);
      });
    }
    await browser.made;
    if (place === null) return;
    if (place === undefined) {
      note.hidden = false;
      note.textContent = `There is no sample ${sample} here.`;
      return;
    }
    await browser.show(place);
    if (browser.narrow.matches) document.getElementById("detail").scrollIntoView();
  }

  function tellCurrent(number) {
    document.querySelectorAll(".to-section").forEach((link) => {
      if (Number(link.dataset.section) === number) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    });
  }

  function onKey(event) {
    if (!browser || browserPart.hidden || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, select, textarea, audio")) return;
    const by = { ArrowRight: 1, j: 1, ArrowLeft: -1, k: -1 }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    browser.step(by);
  }

  if (browserPart) {
    document.getElementById("previous").addEventListener("click", () => browser.step(-1));
    document.getElementById("next").addEventListener("click", () => browser.step(1));
    document.getElementById("filters").addEventListener("submit", (event) => event.preventDefault());
    document.getElementById("set").addEventListener("change", (event) => {
      location.hash = String(new URLSearchParams({ set: event.target.value, view: "samples" }));
    });
    document.addEventListener("keydown", onKey);
  }
  document.documentElement.classList.add("scripted");
  addEventListener("hashchange", follow);
  return follow();
};

mmbench.main();
