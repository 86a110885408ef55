"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const root = document.documentElement;
  const darkly = matchMedia("(prefers-color-scheme: dark)");

  // The theme: the system's, until somebody chooses.
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : darkly.matches);
  let chosen = null;
  try { chosen = localStorage.getItem("verify-theme"); } catch { /* no storage here */ }
  if (chosen) root.dataset.theme = chosen;
  const nameTheme = () => { $("theme").textContent = isDark() ? "Light" : "Dark"; };
  $("theme").addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("verify-theme", root.dataset.theme); } catch { /* not remembered */ }
    nameTheme();
    drawAll();
  });
  darkly.addEventListener("change", () => { nameTheme(); drawAll(); });
  nameTheme();
  if (!$("sentence")) { // there is no account; perhaps a reload brings one
    setTimeout(() => location.reload(), 10_000);
    return;
  }
  $("choices").hidden = false;

  // Words.
  const whole = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });
  const tenth = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 1 });
  const none = "–";
  const share = (v) => (v == null ? none : tenth.format(v * 100) + " %");
  const change = (v) => (v == null ? none : (v > 0 ? "+" : v < 0 ? "−" : "±") + tenth.format(Math.abs(v) * 100));
  const ms = (v) => (v == null ? none : v < 1 ? "under 1 ms" : (v < 10 ? tenth : whole).format(v) + " ms");
  const seconds = (v) => (v == null ? none : (v < 10 ? tenth : whole).format(v) + " s");
  const number = (v) => (v == null ? none : (v < 10 && v % 1 ? tenth : whole).format(v));
  const count = (n, one, many) => whole.format(n) + " " + (n === 1 ? one : many || one + "s");
  const money = (m) => {
    const all = Object.entries(m || {}).map(([currency, amount]) => {
      try { return new Intl.NumberFormat("en-GB", { style: "currency", currency }).format(amount); } catch { return tenth.format(amount) + " " + currency; }
    });
    return all.length ? all.join(", ") : none;
  };
  const put = (id, text) => { const el = $(id); if (el.textContent !== text) el.textContent = text; };
  const clock = (at) => new Date(at).toLocaleTimeString("en-GB");
  const timed = (el, at) => { el.textContent = clock(at); el.title = new Date(at).toISOString(); return el; };
  const make = (tag, text, cls) => {
    const el = document.createElement(tag);
    if (text != null) el.textContent = text;
    if (cls) el.className = cls;
    return el;
  };
  const row = (head, ...cells) => {
    const tr = make("tr"), th = make("th", head);
    th.scope = "row";
    tr.append(th, ...cells.map((c) => (c instanceof Node ? c : make("td", c))));
    return tr;
  };
  const bar = (part, of, label) => {
    const td = make("td", of ? share(part / of) : none), p = make("progress");
    p.max = 1;
    p.value = of ? Math.min(part / of, 1) : 0;
    p.setAttribute("aria-label", label);
    td.append(p);
    return td;
  };

  // Charts: one set of points for the hour, one for the day.
  const series = { hour: null, day: null };
  let windows = null;
  const which = () => Number($("window").value);
  const shown = () => {
    const s = which() === 2 ? series.day : series.hour;
    const n = which() === 0 ? 180 : s.columns.p50.length;
    const from = s.columns.p50.length - n;
    const x = Array.from({ length: n }, (_, i) => s.end - (n - 1 - i) * s.step);
    return { x, column: (name) => s.columns[name].slice(from) };
  };
  const color = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const dashes = [[], [6, 3], [2, 3]];
  const charts = [
    { title: "Verifications a minute", lines: [["Started", "started"], ["Verified", "verified"]], unit: number },
    { title: "Calls of applications a second", lines: [["Requests", "requests"], ["Checks", "checks"], ["Searches", "searches"]], unit: number },
    { title: "Calls to the provider a second", lines: [["Made", "upstream"], ["From memory instead", "memory"], ["Failed", "failed"]], unit: number },
    { title: "Time to the provider's answer", lines: [["Median", "p50"], ["99th percentile", "p99"]], unit: ms },
    { title: "Limit and waiting calls", lines: [["Limit a second", "rate"], ["Waiting", "waiting"]], unit: number },
    { title: "Circuits that are not closed", lines: [["Of two", "not_ready"]], unit: number },
  ];
  const sync = uPlot.sync("verify");
  for (const chart of charts) {
    const section = make("section"), id = "c" + charts.indexOf(chart);
    section.setAttribute("aria-labelledby", id);
    const title = make("h2", chart.title);
    title.id = id;
    chart.legend = make("p", null, "legend");
    chart.place = make("div", null, "plot");
    chart.place.setAttribute("aria-hidden", "true");
    chart.details = make("details");
    chart.table = make("table");
    const scroll = make("div", null, "scroll");
    scroll.tabIndex = 0;
    scroll.setAttribute("role", "group");
    scroll.setAttribute("aria-label", chart.title + ", a table");
    scroll.append(chart.table);
    chart.details.append(make("summary", "As a table"), scroll);
    chart.details.addEventListener("toggle", () => fillTable(chart));
    section.append(title, chart.legend, chart.place, chart.details);
    $("charts").append(section);
  }
  const axis = (more) => ({ stroke: color("--soft"), grid: { stroke: color("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui", ...more });
  const lineColor = (i) => [color("--accent"), color("--text"), color("--soft")][i];
  const legend = (chart, at) => {
    chart.legend.replaceChildren(...chart.lines.map(([label, name], i) => {
      const span = make("span", label + (["", " (dashed)", " (dotted)"][i]) + " ");
      const column = chart.data[i + 1];
      let v = column[at == null ? column.length - 1 : at];
      if (at == null) for (let k = column.length - 1; v == null && k >= Math.max(column.length - 3, 0); k--) v = column[k];
      span.append(make("b", chart.unit(v)));
      return span;
    }));
  };
  const draw = (chart) => {
    const s = shown();
    chart.data = [s.x, ...chart.lines.map(([, name]) => s.column(name))];
    if (chart.plot) chart.plot.destroy();
    chart.plot = new uPlot({
      width: chart.place.clientWidth, height: 120, padding: [8, 8, 0, 0], legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, sync: { key: sync.key } },
      scales: { y: { range: (u, min, max) => [0, Math.max(max, 1) * 1.05] } },
      hooks: { setCursor: [(u) => legend(chart, u.cursor.idx)] },
      axes: [
        axis({ size: 24, space: 56, values: (u, all) => all.map((v) => new Date(v * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" })) }),
        axis({ size: 48, values: (u, all) => all.map((v) => number(v)) }),
      ],
      series: [{}, ...chart.lines.map(([label], i) => ({ label, stroke: lineColor(i), dash: dashes[i], width: 1.5, spanGaps: false, points: { show: false } }))],
    }, chart.data, chart.place);
    legend(chart);
    fillTable(chart);
  };
  const update = (chart) => {
    const s = shown();
    chart.data = [s.x, ...chart.lines.map(([, name]) => s.column(name))];
    chart.plot.setData(chart.data);
    if (chart.plot.cursor.idx == null) legend(chart);
    fillTable(chart);
  };
  const maxRows = 60;
  const fillTable = (chart) => {
    if (!chart.details.open) return;
    const head = make("tr");
    for (const text of ["Time", ...chart.lines.map(([label]) => label)]) {
      const th = make("th", text);
      th.scope = "col";
      head.append(th);
    }
    const thead = make("thead"), tbody = make("tbody"), every = Math.ceil(chart.data[0].length / maxRows);
    thead.append(head);
    for (let i = chart.data[0].length - 1; i >= 0; i -= every) {
      tbody.append(row(clock(chart.data[0][i] * 1000), ...chart.lines.map((_, k) => chart.unit(chart.data[k + 1][i]))));
    }
    chart.table.replaceChildren(thead, tbody);
  };

  // The small lines of the four numbers, of the last hour by minutes.
  const enoughFor = (column) => column.filter((v) => v != null).length > 1;
  const sparks = { "s-success": (d) => d.rate, "s-started": (d) => d.started, "s-p99": (d) => d.p99 };
  const sparkPlots = {};
  const spark = () => {
    const c = series.day.columns, last = (name) => c[name].slice(-60);
    const started = last("started"), verified = last("verified");
    const data = { started, p99: last("p99"), rate: started.map((s, i) => (s ? Math.min(verified[i] / s, 1) : null)) };
    const x = started.map((_, i) => i);
    for (const [id, pick] of Object.entries(sparks)) {
      if (!enoughFor(pick(data))) continue;
      if (sparkPlots[id]) { sparkPlots[id].setData([x, pick(data)]); continue; }
      sparkPlots[id] = new uPlot({
        width: $(id).clientWidth, height: 40, legend: { show: false }, cursor: { show: false }, padding: [2, 0, 2, 0],
        scales: { x: { time: false }, y: { range: (u, min, max) => [0, Math.max(max, id === "s-success" ? 1 : 0.001)] } },
        axes: [{ show: false }, { show: false }], series: [{}, { stroke: color("--accent"), width: 1.5, points: { show: true, size: 3 } }],
      }, [x, pick(data)], $(id));
    }
  };
  const drawAll = () => {
    if (!series.hour) return;
    for (const id of Object.keys(sparkPlots)) { sparkPlots[id].destroy(); delete sparkPlots[id]; }
    charts.forEach(draw);
    spark();
  };
  let resizing;
  addEventListener("resize", () => { clearTimeout(resizing); resizing = setTimeout(drawAll, 150); });
  $("window").addEventListener("change", () => { drawAll(); showWindow(); });

  // What the stream tells.
  let heard = Date.now();
  const showNow = (n) => {
    heard = Date.now();
    $("sentence").className = "sentence " + n.state;
    if ($("state").textContent !== n.state) put("said", n.state + ": " + n.summary); // read out
    put("state", n.state);
    put("summary", n.summary);
    timed($("asof"), n.time);
    put("n-success", share(n.numbers.success_rate));
    put("b-success", share(n.numbers.success_rate_before) + " the hour before");
    put("n-started", whole.format(n.numbers.started));
    put("b-started", whole.format(n.numbers.started_before) + " the hour before");
    put("n-p99", ms(n.numbers.p99_ms));
    put("b-p99", ms(n.numbers.p99_ms_before) + " the hour before");
    put("n-spent", money(n.numbers.spent));
    put("b-spent", money(n.numbers.spent_hour) + " in the last hour");
    const rows = n.circuits.map((c) => {
      const td = make("td"), words = { read: "Checks and searches", write: "Requests and controls" };
      td.append(make("span", c.state.replace("_", " "), "state " + c.state));
      if (c.state !== "closed") {
        td.append(" " + (c.held ? "held by an operator" : c.why) + " since ", timed(make("time"), c.since));
        if (c.until) td.append(", next try in " + whole.format(Math.max(0, (new Date(c.until) - new Date(n.time)) / 1000)) + " s");
      }
      return row(words[c.breaker], td);
    });
    const waiting = n.limit.callers.filter((c) => c.waiting || c.lately).map((c) => (c.caller || "anyone") + " " + c.lately + "/s" + (c.waiting ? ", " + c.waiting + " waiting" : ""));
    const perSecond = (rate, throttled) => rate + " a second" + (throttled ? ", lowered by the provider" : "");
    const limits = n.limit.rate ? [perSecond(n.limit.rate, n.limit.throttled)] : [];
    if (n.limit.search_rate) limits.push("searches " + perSecond(n.limit.search_rate, n.limit.search_throttled));
    rows.push(row("Limit", limits.length ? limits.join(", ") + ", " + n.limit.waiting + " waiting" + (waiting.length ? " (" + waiting.join("; ") + ")" : "") : "off"));
    if (n.store) {
      const td = make("td");
      td.append(make("span", n.store.away ? "away" : "answers", "state " + (n.store.away ? "open" : "closed")));
      if (n.store.away) td.append(" since ", timed(make("time"), n.store.since), ", this gateway goes on alone");
      td.append(" " + count(n.store.gateways, "gateway") + ", " + count(n.store.calls, "call") + ", " + whole.format(n.store.failed) + " without an answer");
      rows.push(row("Store", td));
    }
    rows.push(row("From memory", count(n.cache.hits, "search", "searches") + ", " + count(n.cache.entries, "state") + " kept"));
    rows.push(row("Under way", count(n.verifications.under_way, "verification") + ", " + whole.format(n.verifications.unsettled) + " ended and nobody asked how"));
    $("way").tBodies[0].replaceChildren(...rows);
  };
  const showWindow = () => {
    if (!windows) return;
    const w = windows[which()];
    $("funnel").tBodies[0].replaceChildren(...[["Requested", w.requested], ["Accepted", w.started], ["A code entered", w.entered], ["Verified", w.verified]]
      .map(([name, n]) => row(name, whole.format(n), bar(n, w.requested, name + ", of requested"))));
    for (const [id, groups] of [["countries-title", w.countries], ["callers-title", w.callers]]) {
      const section = $(id).parentElement;
      section.hidden = id === "callers-title" && !groups.length;
      if (!groups.length) continue;
      section.querySelector("tbody").replaceChildren(...groups.map((g) => row(g.name, whole.format(g.started), whole.format(g.verified),
        bar(g.verified, g.started, "Success, " + g.name), change(g.change), whole.format(g.unchecked), seconds(g.time_to_success_s), money(g.spent))));
    }
  };
  const showGuard = (g) => {
    if (!$("guard") || !g) { // switched on or off by a reload
      if (!$("guard") !== !g) location.reload();
      return;
    }
    $("guard-none").hidden = g.rules.length + g.budgets.length + g.blocks.length > 0;
    const fill = (id, list, cells) => {
      $(id).parentElement.hidden = !list.length;
      $(id).tBodies[0].replaceChildren(...list.map(cells));
    };
    fill("guard-rules", g.rules, (r) => row(r.rule, whole.format(r.refused), whole.format(r.would_refuse), whole.format(r.verified), r.saved || none, r.would_save || none));
    fill("guard-budgets", g.budgets, (b) => row(b.budget, b.settled, b.reserved, b.cap, bar(b.used, 1, "Used of " + b.budget), b.mode));
    fill("guard-blocks", g.blocks, (b) => row(b.target, b.everyone ? "all" : b.caller || "-", b.why, whole.format(b.refused), b.mode));
  };
  const showEvents = (events) => {
    if (!events.length) return;
    $("events").replaceChildren(...events.map(item));
  };
  const item = (e) => {
    const li = make("li", null, e.level);
    li.append(timed(make("time"), e.time), " ", make("span", e.level, "level"), " ", e.text);
    return li;
  };
  const push = (s, point) => {
    for (const name of Object.keys(s.columns)) {
      s.columns[name].push(point[name] ?? null);
      s.columns[name].shift();
    }
    s.end += s.step;
  };
  // Of a minute of the day's charts, the mean of what came; of quantiles, the most.
  let minute = [];
  const grow = (point, at) => {
    if (at - series.hour.end < series.hour.step / 2) return; // it is there
    while (at - series.hour.end > series.hour.step * 1.5) push(series.hour, {});
    push(series.hour, point);
    minute.push(point);
    if (minute.length < 12) return;
    const mean = {};
    for (const name of Object.keys(point)) {
      const known = minute.map((p) => p[name]).filter((v) => v != null);
      mean[name] = !known.length ? null : name[0] === "p" ? Math.max(...known) : known.reduce((a, b) => a + b) / known.length;
    }
    minute = [];
    push(series.day, mean);
  };

  let source, fresh = true;
  const heeds = [];
  const on = (name, f) => heeds.push([name, (e) => f(JSON.parse(e.data))]);
  const connect = () => {
    source = new EventSource("live/stream" + location.search);
    for (const [name, f] of heeds) source.addEventListener(name, f);
    // It tries again by itself, but not after an answer that is no stream.
    source.addEventListener("error", () => { if (source.readyState === EventSource.CLOSED) setTimeout(connect, 2000); });
  };
  on("hello", (h) => {
    if (h.version !== root.dataset.version) { location.reload(); return; }
    series.hour = h.hour;
    series.day = h.day;
    minute = [];
    if (fresh && !series.hour.columns.rate.slice(0, -180).some((v) => v != null)) $("window").value = "0"; // it has just begun
    fresh = false;
    showEvents(h.events);
    drawAll();
  });
  on("now", showNow);
  on("more", (m) => {
    windows = m.windows;
    showWindow();
    showGuard(m.guard);
    grow(m.point, m.at);
    charts.forEach(update);
    spark();
  });
  on("event", (e) => {
    const list = $("events");
    if (list.firstElementChild && !list.firstElementChild.querySelector("time")) list.replaceChildren();
    const kept = list.scrollTop;
    const before = list.scrollHeight;
    list.prepend(item(e));
    if (kept > 0) list.scrollTop = kept + list.scrollHeight - before; // somebody reads
    while (list.children.length > 50) list.lastElementChild.remove();
  });
  connect();
  setInterval(() => {
    const silent = Math.round((Date.now() - heard) / 1000);
    root.classList.toggle("stale", silent > 5);
    if (silent > 5) put("asof", clock(heard) + ", " + silent + " s ago; reconnecting");
  }, 1000);

  // Faults of a sandbox, in the demo.
  const panel = $("faults");
  if (panel) {
    const faults = [
      ["Slow", "* delay 2s"], ["Resets", "* reset_after 30%"], ["HTTP 503", "* http 503"], ["Garbage", "* garbage"],
      ["Wrong credentials", "* status 4"], ["Throttled", "* status 1"], ["No credit", "request status 9"], ["Outage", "* close"],
    ];
    const active = new Set();
    let sent = Promise.resolve(); // one after the other
    const send = async () => {
      const body = JSON.stringify({ faults: [...active] });
      const answer = await fetch(panel.dataset.path, { method: "POST", body, headers: { "Content-Type": "application/json" } });
      put("faults-said", answer.ok ? (active.size ? "On: " + [...active].join("; ") : "All faults are off.") : "The sandbox says: " + await answer.text());
    };
    const buttons = faults.map(([name, fault]) => {
      const button = make("button", name);
      button.type = "button";
      button.title = fault;
      button.setAttribute("aria-pressed", "false");
      button.addEventListener("click", () => {
        const on = button.getAttribute("aria-pressed") !== "true";
        button.setAttribute("aria-pressed", String(on));
        if (on) active.add(fault); else active.delete(fault);
        sent = sent.then(send).catch((e) => put("faults-said", "The sandbox cannot be reached: " + e.message));
      });
      return button;
    });
    $("switches").replaceChildren(...buttons);
    panel.hidden = false;
    fetch(panel.dataset.path).then((answer) => answer.json()).then((now) => {
      for (const button of buttons) {
        if (!(now.faults || []).includes(button.title)) continue;
        active.add(button.title);
        button.setAttribute("aria-pressed", "true");
      }
    }).catch(() => put("faults-said", "The sandbox cannot be reached."));
  }
})();
