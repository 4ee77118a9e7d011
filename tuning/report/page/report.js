// Draws the figures of the report in the page's colours, switches tabs, and sorts and filters the table of trials.
"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const PRINTED = 680;

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  // What of a layout is the page's: text, lines and grid.
  const look = (layout, printed) => {
    const text = printed ? "#000" : colour("text"), grid = printed ? "#ddd" : colour("grid");
    const card = printed ? "#fff" : colour("card"), line = printed ? "#bbb" : colour("line");
    const found = {
      "font.color": text, "font.family": getComputedStyle(document.body).fontFamily, "font.size": 13,
      paper_bgcolor: card, plot_bgcolor: card, "hoverlabel.bgcolor": card, "hoverlabel.bordercolor": line,
      "hoverlabel.font.color": text, "legend.bgcolor": "rgba(0,0,0,0)",
    };
    for (const axis of Object.keys(layout).filter((key) => /^[xy]axis/.test(key))) {
      Object.assign(found, { [`${axis}.gridcolor`]: grid, [`${axis}.linecolor`]: line, [`${axis}.tickcolor`]: line });
    }
    return found;
  };

  const set = (object, path, value) => {
    const keys = path.split("."), last = keys.pop();
    let inner = object;
    for (const key of keys) inner = inner[key] ??= {};
    inner[last] = value;
  };

  const drawn = () => [...document.querySelectorAll(".plot.js-plotly-plot")];

  const draw = (div) => {
    if (div.classList.contains("js-plotly-plot")) return;
    const figure = figures[div.id];
    for (const [path, value] of Object.entries(look(figure.layout, false))) set(figure.layout, path, value);
    const flat = figure.data[0].type !== "parcoords";
    Plotly.newPlot(div, figure.data, figure.layout, {
      responsive: true, displaylogo: false, displayModeBar: "hover",
      // Named one by one: plotly's own list has a button that sends the figure to its makers.
      modeBarButtons: [["toImage"], flat ? ["zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"] : []],
      plotlyServerURL: "",
      toImageButtonOptions: { filename: div.id, scale: 2 },
    });
    div.on("plotly_click", (event) => point(event.points[0].customdata));
  };

  const visible = (element) => element.closest("[hidden]") === null;
  const waiting = [...document.querySelectorAll(".plot")].filter(visible);
  // One at a time, so that the page scrolls meanwhile.
  const drawNext = () => {
    if (waiting.length) draw(waiting.shift());
    if (waiting.length) setTimeout(drawNext);
    else document.documentElement.dataset.drawn = "true";
  };
  drawNext();

  dark.addEventListener("change", () => drawn().forEach((div) => Plotly.relayout(div, look(div.layout, false))));
  addEventListener("beforeprint", () => {
    while (waiting.length) draw(waiting.shift());
    drawn().filter(visible).forEach((div) => Plotly.relayout(div, { ...look(div.layout, true), width: PRINTED }));
  });
  addEventListener("afterprint", () =>
    drawn().filter(visible).forEach((div) => Plotly.relayout(div, { ...look(div.layout, false), width: null, autosize: true })));

  // -- tabs: arrows move between them ------------------------------------------------------------------------------
  for (const list of document.querySelectorAll("[role=tablist]")) {
    const tabs = [...list.querySelectorAll("[role=tab]")];
    const select = (tab) => {
      for (const other of tabs) {
        const chosen = other === tab;
        other.setAttribute("aria-selected", chosen);
        other.tabIndex = chosen ? 0 : -1;
        const panel = document.getElementById(other.getAttribute("aria-controls"));
        panel.hidden = !chosen;
        if (chosen) panel.querySelectorAll(".plot").forEach((div) => { draw(div); Plotly.Plots.resize(div); });
      }
    };
    tabs.forEach((tab, place) => {
      tab.addEventListener("click", () => select(tab));
      tab.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (!step) return;
        const next = tabs[(place + step + tabs.length) % tabs.length];
        next.focus();
        select(next);
        event.preventDefault();
      });
    });
  }

  // -- the table of trials -----------------------------------------------------------------------------------------
  const table = document.getElementById("trials-table");
  if (!table) return;
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];

  // Numbers as numbers, the rest as text; what is absent comes last, whichever way.
  const sort = (place, sign) => {
    const key = (row) => row.cells[place].dataset.value ?? row.cells[place].textContent;
    const numeric = heads[place].classList.contains("number");
    const compare = (a, b) => {
      const [one, two] = [key(a), key(b)];
      if (one === "" || two === "") return (one === "") - (two === "");
      return sign * (numeric ? one - two : one.localeCompare(two));
    };
    body.append(...[...body.rows].sort(compare));
  };
  heads.forEach((head, place) => head.querySelector("button")?.addEventListener("click", () => {
    const rising = head.getAttribute("aria-sort") !== "ascending";
    heads.forEach((other) => other.hasAttribute("aria-sort") && other.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", rising ? "ascending" : "descending");
    sort(place, rising ? 1 : -1);
  }));

  const boxes = [...document.querySelectorAll(".chips input[type=checkbox]")];
  const search = document.getElementById("trials-search"), count = document.getElementById("trials-count");
  const filter = () => {
    const shown = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let left = 0;
    for (const row of body.rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !(shown.has(row.dataset.status) && words.every((word) => text.includes(word)));
      left += !row.hidden;
    }
    count.textContent = `${left} of ${body.rows.length} shown`;
  };
  [...boxes, search].forEach((input) => input.addEventListener("input", filter));
  filter();

  // A click on a trial in a figure shows its row.
  function point(number) {
    const row = number === undefined ? null : document.getElementById(`trial-${number}`);
    if (!row) return;
    document.querySelectorAll("tr.pointed").forEach((other) => other.classList.remove("pointed"));
    row.hidden = false;
    row.classList.add("pointed");
    row.scrollIntoView({ block: "center" });
  }
})();
