
"use strict";
(() => {
  const PERIOD = 2000;        // milliseconds from an answer to the next request
  const DAY_PERIOD = 10000;   // milliseconds between requests of /api/overview
  const SINCE_PERIOD = 60000; // milliseconds until a search for the last hours or days is repeated
  const TIMEOUT = 8000;       // timeout of a request, in milliseconds
  const PAGE = 50;            // files per request
  const KEEP = 200;           // most files in the list without "Show older files"
  const MOST = 600;           // most files in the list
  const LONG = 2048;          // longest text in a list, in bytes (history.maxField)

  const $ = (selector, root = document) => root.querySelector(selector);

  // ---- text -------------------------------------------------------------------------

  // Invisible characters, and those that change the direction of writing and can make "exe.fdp"
  // look like "pdf.exe". They are shown as code points. Many combining marks on one letter would
  // cover other lines. U+2800 is a letter of Braille without dots.
  const ODD = /[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{DI}\u2028\u2029\u2800]|\p{M}{5,}/gu;

  // put sets the text of an element; the text is never parsed as markup. An element that already
  // has the text is not changed, so that selections survive.
  function put(element, text) {
    text = String(text ?? "");
    if (element.dataset.text === text) return element;
    element.dataset.text = text;
    const parts = [];
    let at = 0;
    for (const m of text.matchAll(ODD)) {
      if (m.index > at) parts.push(text.slice(at, m.index));
      parts.push(make("span", "odd", [...m[0]].length > 1 ? "⟨" + [...m[0]].length + " marks⟩" : "⟨U+" + m[0].codePointAt(0).toString(16).toUpperCase().padStart(4, "0") + "⟩"));
      at = m.index + m[0].length;
    }
    if (at < text.length) parts.push(text.slice(at));
    element.replaceChildren(...parts);
    return element;
  }

  // putWithCode is put for a sentence in which backticks mark commands.
  function putWithCode(element, text) {
    if (element.dataset.text === text) return element;
    const parts = text.split("`");
    if (parts.length % 2 === 0) return put(element, text);
    element.replaceChildren(...parts.map((part, i) => put(make(i % 2 ? "code" : "span"), part)));
    element.dataset.text = text;
    return element;
  }

  function make(tag, className, text) {
    const e = document.createElement(tag);
    if (className) e.className = className;
    if (text !== undefined) e.textContent = text;
    return e;
  }

  function badge(text, level) {
    const e = put(make("span", "badge"), text);
    e.dataset.level = level;
    return e;
  }

  const count = n => n.toLocaleString("en");

  function size(bytes) {
    const units = ["B", "kB", "MB", "GB", "TB"];
    let i = 0;
    for (; bytes >= 1000 && i < units.length - 1; i++) bytes /= 1000;
    return (i === 0 || bytes >= 100 ? Math.round(bytes) : bytes.toFixed(1)) + " " + units[i];
  }

  // Ages are computed with the clock of the process, not of this machine.
  let skew = 0;
  const now = () => Date.now() + skew;

  function span(ms) {
    const s = Math.max(0, Math.round(ms / 1000));
    if (s < 60) return s + " s";
    if (s < 3600) return Math.floor(s / 60) + " min";
    if (s < 86400) return Math.floor(s / 3600) + " h " + Math.floor(s % 3600 / 60) + " min";
    return Math.floor(s / 86400) + " d " + Math.floor(s % 86400 / 3600) + " h";
  }
  const age = t => t ? span(now() - Date.parse(t)) : "–";
  const until = t => span(Date.parse(t) - now());
  const two = n => String(n).padStart(2, "0");
  function clock(t) {
    const d = new Date(t);
    return two(d.getHours()) + ":" + two(d.getMinutes());
  }
  // The time zone of this machine, and its offset from UTC at a time.
  const zone = () => Intl.DateTimeFormat().resolvedOptions().timeZone || "local time";
  function offset(t) {
    const m = -new Date(t).getTimezoneOffset(), a = Math.abs(m);
    return "UTC" + (m ? (m < 0 ? "−" : "+") + two(Math.floor(a / 60)) + ":" + two(a % 60) : "");
  }
  // full returns a time with date and offset.
  function full(t) {
    const d = new Date(t);
    return d.getFullYear() + "-" + two(d.getMonth() + 1) + "-" + two(d.getDate()) + " " + clock(t) + ":" + two(d.getSeconds()) + " " + offset(t);
  }
  // dateTime returns a time, with the date unless it is today.
  function dateTime(t) {
    const d = new Date(t), today = new Date(now()).toDateString() === d.toDateString();
    return (today ? "" : d.getFullYear() + "-" + two(d.getMonth() + 1) + "-" + two(d.getDate()) + " ") + clock(t) + ":" + two(d.getSeconds());
  }

  // ---- tables -----------------------------------------------------------------------

  // fill sets the rows of a table from data. It reuses existing rows and cells. cells returns the
  // contents of the cells for one item: a text, or a function that fills the cell.
  function fill(table, data, cells) {
    const body = $("tbody", table), heads = [...table.querySelectorAll("thead th")];
    while (body.rows.length > data.length) body.deleteRow(-1);
    data.forEach((datum, i) => {
      const row = body.rows[i] ?? body.insertRow();
      row.role = "row";
      cells(datum).forEach((cell, j) => {
        let td = row.cells[j];
        if (!td) {
          td = make(j === 0 ? "th" : "td", heads[j].className);
          td.role = j === 0 ? "rowheader" : "cell";
          if (j === 0) td.scope = "row"; else td.dataset.label = heads[j].textContent;
          row.append(td);
        }
        if (typeof cell === "function") cell(td); else put(td, cell);
      });
    });
    table.hidden = data.length === 0;
    const none = $(".none", table.parentElement);
    if (none) none.hidden = data.length > 0;
  }

  // lines returns a cell with a text and small lines below it.
  const lines = (first, ...small) => td => {
    const key = JSON.stringify([first, small]);
    if (td.dataset.text === key) return;
    td.dataset.text = key;
    const nodes = [put(make("span"), first)];
    for (const s of small) if (s) nodes.push(put(make("span", "small"), s));
    td.replaceChildren(...nodes);
  };

  // ---- the state --------------------------------------------------------------------

  const MAX_SOURCES = 5; // most sources listed for a budget
  const LANES = ["urgent", "normal", "bulk"];
  const TOKENS = { fresh: "good", stale: "warn", none: "", expired: "warn", rejected: "bad" };
  const EXPECTED = new Set(["unsupported_type", "too_large", "empty", "withheld"]); // results.Reason.Expected

  const level = state => ({ ok: "good", degraded: "warn", retrying: "warn", paused: "warn", failed: "bad", gone: "bad" })[state] ?? "";
  const PARTS = { nats: "NATS", wildfire: "WildFire" };
  const name = p => (PARTS[p.part] ?? p.part.replaceAll("_", " ")) + (p.of ? " " + p.of : "");
  const explain = p => p.note || [p.reason, p.remedy].filter(Boolean).join("; ");
  const capital = s => s && s[0].toUpperCase() + s.slice(1);
  const unwell = st => (st.parts ?? []).filter(p => p.state === "degraded" || p.state === "failed" || p.note);

  // health returns a cell with a badge and an explanation.
  const health = (state, ...small) => td => {
    const key = JSON.stringify([state, small]);
    if (td.dataset.text === key) return;
    td.dataset.text = key;
    td.replaceChildren(badge(state, level(state)));
    for (const s of small) if (s) td.append(put(make("span", "small"), s));
  };

  function showStatus(st) {
    fill($("#parts"), unwell(st), p => [name(p), health(p.state, explain(p)), age(p.since)]);
    showHere(st);
    const away = $("#away"), known = Boolean(st.lanes);
    away.hidden = known;
    if (known) $("#simulated").hidden = !st.simulated;
    for (const e of document.querySelectorAll(".fleet")) e.hidden = !known;
    if (known) showFleet(st);
    else put(away, "NATS has been unreachable since " + full(st.away.since) + st.away.reason.replace(/^NATS is unreachable\s*/, " ").replace(/^(?! )/, ": ").trimEnd() + ". The state of the fleet has been unknown since then. The page shows only what this process knows.");
    showProblems(st, known);
  }

  // showFleet shows the state from NATS.
  function showFleet(st) {
    fill($("#jobs"), [["Queued", "for a worker", st.queued], ["At WildFire", "for a verdict", st.pending], ["Parked", st.parked.reason || "for a budget, or the end of a pause", st.parked]],
      ([state, why, j]) => [lines(state, why + (j.until ? "; continues at " + dateTime(j.until) : "")), count(j.jobs), age(j.oldest)]);
    fill($("#lanes"), LANES, lane => {
      const l = st.lanes[lane] ?? { waiting: 0, held: 0 };
      return [lane, count(l.waiting), count(l.held), age(l.oldest)];
    });
    for (const b of ["uploads", "queries"]) showBudget(b, st[b], st.paused[b]);
    showPause(st.paused.uploads);
    fill($("#dead"), Object.entries(st.dead).sort((a, b) => b[1] - a[1]), ([reason, n]) =>
      [reason, count(n), EXPECTED.has(reason) ? "nothing: an expected outcome" : "needs a person"]);
    const dead = Object.values(st.dead).reduce((sum, n) => sum + n, 0);
    put($("#dead-count"), dead ? ": " + count(dead) : "");
    $("#dead").parentElement.querySelector(".hint").hidden = Object.keys(st.dead).length === 0;
    fill($("#members"), st.members, m => [
      lines(m.role, m.leader ? "leads" : "", m.version ? "version " + m.version : "", m.config ? "configuration " + m.config : ""),
      lines(m.host, "process " + m.pid),
      m.gone ? health("gone", "last seen " + age(m.seen) + " ago") : health(m.state, ...(m.unwell ?? []).map(p => name(p) + ": " + explain(p))),
      m.slots ?? 0, m.gone ? "–" : age(m.started)]);
    showOthers(st.members.filter(m => m.id !== st.id && !m.gone));
  }

  // showOthers shows the folders, sinks and tokens of other processes, as they last reported them.
  function showOthers(members) {
    const all = key => members.flatMap(m => (m[key] ?? []).map(x => ({ ...x, of: m.role + " on " + m.host })));
    fill($("#folders"), all("folders"), f => [lines(f.path, "source " + f.source, f.of), health(f.state), count(f.pending), count(f.in_flight)]);
    fill($("#fleet-sinks"), all("sinks"), s => [lines(s.name, s.kind, s.of), health(s.state), count(s.behind), s.last ? age(s.last) + " ago" : "never"]);
    fill($("#tokens"), all("tokens"), t => [lines(t.profile, t.of), td => {
      const key = t.state + t.shared;
      if (td.dataset.text === key) return;
      td.dataset.text = key;
      td.replaceChildren(badge(t.state, TOKENS[t.state] ?? ""), put(make("span", "small"), t.shared ? "shared with the fleet" : ""));
    }, t.expires ? Date.parse(t.expires) > now() ? "in " + until(t.expires) : "has expired" : "–"]);
    const omitted = members.reduce((n, m) => n + (m.omitted ?? 0), 0);
    $("#omitted").hidden = omitted === 0;
    put($("#omitted"), count(omitted) + " more folders and sinks: see the dashboards of their own processes.");
  }

  // showHere shows the state of this process.
  function showHere(st) {
    $("#uploading").parentElement.hidden = !st.uploading?.length;
    fill($("#uploading"), st.uploading ?? [], f => [f.filename, td => showProgress(td, f), age(f.since)]);
    fill($("#watch"), st.watch ?? [], f => [
      lines(f.path, "source " + f.source + (f.mode ? ", " + f.mode : "")),
      health(f.state, f.reason, f.held),
      count(f.pending), count(f.in_flight), count(f.finished)]);
    fill($("#sinks"), st.sinks ?? [], s => [lines(s.name, s.kind), health(s.state, s.cause, s.remedy), count(s.behind), s.last ? age(s.last) + " ago" : "never"]);
    put($("#here"), st.role ? ": " + st.role : "");
    showToken(st.token);
  }

  function showBudget(name, b, paused) {
    const box = $("#budget-" + name), meter = $(".meter", box), limited = b.limit > 0;
    // Calls without a limit are not counted.
    put($(".used", box), limited ? count(b.used) + " of " + count(b.limit) + " used" : "no limit");
    meter.hidden = !limited;
    if (limited) {
      meter.ariaValueMax = b.limit;
      meter.ariaValueNow = Math.min(b.used, b.limit);
      $("div", meter).style.width = 100 * Math.min(1, b.used / b.limit) + "%";
    }
    const parts = [];
    let level = "good";
    if (b.spent) {
      parts.push("spent");
      level = "bad";
    } else if (limited && b.lasts_until) {
      parts.push("at this pace, used up at " + clock(b.lasts_until));
      level = "warn";
    }
    if (paused && !paused.spent) {
      parts.push("paused until " + dateTime(paused.until));
      level = "bad";
    }
    if (limited) parts.push("renewed at " + clock(b.resets_at) + ", in " + until(b.resets_at));
    box.dataset.level = level;
    put($(".forecast", box), parts.join("; "));
    const by = Object.entries(b.by ?? {}).filter(([, n]) => n > 0).sort((x, y) => y[1] - x[1]);
    put($(".by", box), by.length ? "by source: " + by.slice(0, MAX_SOURCES).map(([s, n]) => s + " " + count(n)).join(", ") +
      (by.length > MAX_SOURCES ? ", and " + (by.length - MAX_SOURCES) + " more" : "") : "");
  }

  // showPause shows the button to pause or resume uploads, if the user may act.
  function showPause(paused) {
    const b = $("#pause"), stopped = paused && !paused.spent;
    b.hidden = !user || Boolean(paused?.spent);
    put(b, stopped ? "Resume uploads…" : "Pause uploads…");
    b.onclick = () => stopped
      ? confirmAct("resume", "Resume uploads", "Uploads are paused until " + dateTime(paused.until) + ": " + paused.reason + ". The whole fleet will continue.", "Resume")
      : confirmAct("pause", "Pause uploads", "No worker of the fleet will upload. Jobs are parked, verdicts are still queried, and no job is lost.", "Pause");
  }

  function showProgress(td, f) {
    let bar = $("progress", td);
    if (!bar) {
      bar = make("progress");
      td.replaceChildren(bar, make("span", "small"));
    }
    bar.max = Math.max(1, f.total);
    bar.value = Math.min(f.sent, f.total);
    bar.setAttribute("aria-label", "upload of " + f.filename);
    put($("span", td), f.sent >= f.total ? size(f.total) + " sent, awaiting the answer" : size(f.sent) + " of " + size(f.total));
  }

  function showToken(t) {
    const list = $("#token");
    list.hidden = !t;
    $(".none", list.parentElement).hidden = Boolean(t);
    if (!t) return;
    const level = TOKENS[t.state] ?? "";
    const rows = [
      ["Profile", t.name + " (" + t.kind + ")"],
      ["State", badge(t.state + (t.refreshing ? ", being renewed" : ""), level)],
      ["Age", t.obtained ? age(t.obtained) : ""],
      ["Expires", t.expires ? (Date.parse(t.expires) > now() ? "in " + until(t.expires) + ", at " + dateTime(t.expires) : "has expired") : ""],
      ["Shared", t.shared ? "with the fleet" : "no"],
      ["Fingerprint", t.fingerprint],
      ["Last error", t.last_error],
    ].filter(([, value]) => value);
    const key = JSON.stringify(rows.map(([k, v]) => [k, v.dataset?.text ?? v]));
    if (list.dataset.text === key) return;
    list.dataset.text = key;
    list.replaceChildren(...rows.flatMap(([name, value]) => {
      const dd = make("dd");
      if (typeof value === "string") put(dd, value); else dd.append(value);
      return [make("dt", "", name), dd];
    }));
  }

  // showProblems shows the most severe problem and its remedy in one line, and the others below.
  function showProblems(st, known) {
    const found = []; // [level, text]
    for (const p of unwell(st)) {
      if (known && st[p.part]?.limit !== undefined) continue; // budgets are covered below
      const is = { failed: " has failed since ", degraded: " is degraded since " }[p.state];
      found.push([p.state === "failed" ? "bad" : "warn", capital(name(p)) + (is ? is + dateTime(p.since) : "") + ": " + explain(p)]);
    }
    if (known) {
      for (const [budget, p] of Object.entries(st.paused)) {
        if (p.by) found.push(["warn", capital(budget) + " are " + p.reason + ", until " + dateTime(p.until) + (user ? "" : ": `backburn resume` ends that")]);
        else if (!p.spent) found.push(["bad", capital(budget) + " are paused until " + dateTime(p.until) + ": " + p.reason]);
      }
      const workers = st.members.filter(m => m.slots > 0 && !m.gone);
      if (workers.length === 0) found.push(["bad", "No worker is running, so jobs wait: start `backburn run` or `worker`"]);
      else if (!workers.some(w => w.leader)) found.push(["warn", "No worker leads, so verdicts are not queried"]);
      for (const m of st.members) {
        if (m.id === st.id) continue; // its own parts are shown in more detail
        const who = "The " + m.role + " on " + m.host;
        if (m.gone) found.push(["bad", who + " is gone, last seen " + age(m.seen) + " ago: restart it"]);
        else if (m.unwell?.length && !(m.state === "ok")) found.push([m.state === "failed" ? "bad" : "warn", who + " is " + m.state + ": " + name(m.unwell[0]) + ": " + explain(m.unwell[0])]);
      }
      for (const b of ["uploads", "queries"]) {
        if (st[b].spent) found.push(["warn", "Today's " + b + " are used up: jobs that need them continue at " + dateTime(st[b].resets_at) + ", in " + until(st[b].resets_at)]);
      }
      const unexpected = Object.entries(st.dead).reduce((sum, [reason, n]) => sum + (EXPECTED.has(reason) ? 0 : n), 0);
      if (unexpected) found.push(["warn", count(unexpected) + (unexpected === 1 ? " dead letter needs" : " dead letters need") + " a look: `backburn dead list`"]);
    } else if (!found.some(([, text]) => text.includes("NATS"))) {
      found.push(["bad", st.away.reason]);
    }
    found.sort((x, y) => (x[0] === "bad" ? 0 : 1) - (y[0] === "bad" ? 0 : 1));
    const [first, ...rest] = found;
    $("#attention").dataset.level = first ? first[0] : "good";
    putWithCode($("#health"), first ? first[1] + (rest.length ? " — and " + rest.length + " more:" : "") : "All is well. There is nothing to do.");
    const list = $("#problems");
    while (list.children.length > rest.length) list.lastChild.remove();
    rest.forEach(([, text], i) => putWithCode(list.children[i] ?? list.appendChild(make("li")), text));
    document.title = (found.length ? "(" + found.length + ") " : "") + "Backburn";
  }

  // ---- the last 24 hours --------------------------------------------------------------

  const MALICIOUS = ["malware", "phishing", "c2", "grayware"];
  const SVG = "http://www.w3.org/2000/svg";
  function draw(tag, attributes, text) {
    const e = document.createElementNS(SVG, tag);
    for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
    if (text !== undefined) e.textContent = text;
    return e;
  }
  const sum = (o, keep = () => true) => Object.entries(o).reduce((n, [k, v]) => n + (keep(k) ? v : 0), 0);

  // parts returns the numbers shown for an hour.
  const parts = h => ({
    bad: sum(h.verdicts, v => MALICIOUS.includes(v)), failed: sum(h.failed), good: h.verdicts.benign ?? 0,
    other: sum(h.verdicts, v => v !== "benign" && !MALICIOUS.includes(v)), arrived: h.arrived, start: h.start,
    unexpected: sum(h.failed, r => !EXPECTED.has(r)),
  });

  // shortDuration formats seconds, with fractions if they are few.
  function shortDuration(s) {
    return s >= 60 ? span(s * 1000) : s >= 10 ? Math.round(s) + " s" : s >= 1 ? s.toFixed(1) + " s" : Math.round(s * 1000) + " ms";
  }

  let lastDay;
  function showDay(o) {
    lastDay = o;
    portal = o.portal;
    const all = o.hours.map(parts), total = key => all.reduce((n, h) => n + h[key], 0);
    const midnight = new Date(now()).setHours(0, 0, 0, 0); // in some time zones an hour begins before it, and counts as yesterday's
    const today = key => "today " + count(all.reduce((n, h) => n + (Date.parse(h.start) >= midnight ? h[key] : 0), 0));
    const unexpected = total("unexpected");
    const tiles = [
      [count(total("bad")), "malicious", today("bad"), total("bad")],
      [count(total("good")), "benign", today("good"), 0],
      [count(total("failed")), "failed", unexpected ? count(unexpected) + " of them unexpected" : today("failed"), unexpected],
      [count(total("arrived")), "arrived", total("arrived") === 0 ? today("arrived") : count(total("bad") + total("good") + total("other") + total("failed")) + " done", 0],
      [o.took.verdicts ? shortDuration(o.took.p50) : "–", "median time to verdict", o.took.verdicts ? "95 % within " + shortDuration(o.took.p95) : "", 0],
    ];
    [...$("#tiles").children].forEach((li, i) => {
      const [figure, what, small, some] = tiles[i];
      put($(".figure", li), figure);
      put($(".what", li), what);
      put($(".small", li), small);
      if (some) li.dataset.some = ""; else delete li.dataset.some;
    });
    const events = o.events > 0 || all.some(h => h.arrived);
    $("#day-known").hidden = !events;
    $("#day-none").hidden = events && o.ready;
    put($("#day-none"), o.error ? "The events cannot be read: " + o.error : !o.ready ? "Reading the events" + (o.behind ? ": " + count(o.behind) + " to go…" : "…") : "Nothing has been decided yet.");
    if (events) showChart(all, tiles);
    fill($("#hours"), [...all].reverse(), h => [hourName(h.start), count(h.bad), count(h.failed), count(h.other), count(h.good), count(h.arrived)]);
    showSources(o.sources);
  }

  const hourName = t => dateTime(t).replace(/:\d\d$/, "");

  // showChart draws a bar for each hour. Malicious files are on top and always visible.
  let drawn = "";
  function showChart(all, tiles) {
    const box = $("#chart"), w = box.clientWidth, h = box.clientHeight, left = 34, foot = 20;
    const key = JSON.stringify([w, h, all]);
    if (key === drawn || !w) return;
    drawn = key;
    const top = roundUp(Math.max(...all.map(x => Math.max(x.bad + x.failed + x.other + x.good, x.arrived)), 4));
    const step = (w - left) / all.length, gap = Math.min(4, step / 4), y = n => (h - foot) - (h - foot - 8) * n / top;
    const svg = draw("svg", { width: w, height: h, role: "img", "aria-label": "Bars by hour. In 24 hours: " + tiles.slice(0, 4).map(t => t[0] + " " + t[1]).join(", ") + ". The table below has the numbers." });
    for (const n of [0, top / 2, top]) {
      svg.append(draw("path", { class: "axis", d: "M" + left + " " + y(n) + "H" + w }));
      svg.append(draw("text", { x: left - 6, y: y(n) + 4, "text-anchor": "end" }, short(n)));
    }
    let line = "";
    const every = step < 22 ? 6 : 3;
    all.forEach((hour, i) => {
      const x = left + i * step, g = draw("g", {}), bar = [["good", hour.good], ["other", hour.failed + hour.other], ["bad", hour.bad]];
      g.append(draw("title", {}, hourName(hour.start) + ": " + hour.bad + " malicious, " + (hour.failed + hour.other) + " failed or unrecognised, " + hour.good + " benign; " + hour.arrived + " arrived"));
      g.append(draw("rect", { class: "hover", x, y: 0, width: step, height: h - foot }));
      let at = h - foot;
      for (const [kind, n] of bar) {
        if (n === 0) continue;
        const height = Math.max((h - foot - 8) * n / top, kind === "good" ? 1 : 3);
        at -= height;
        g.append(draw("rect", { class: kind, x: x + gap / 2, y: Math.max(0, at), width: Math.max(1, step - gap), height }));
      }
      svg.append(g);
      line += (i ? "L" : "M") + x + " " + y(hour.arrived) + "H" + (x + step);
      if (new Date(hour.start).getHours() % every === 0 && x < w - 36) { // the whole label fits
        svg.append(draw("text", { x: x + 1, y: h - 5 }, clock(hour.start)));
      }
    });
    svg.append(draw("path", { class: "arrived", d: line, "pointer-events": "none" }));
    box.replaceChildren(svg);
  }
  // roundUp returns the top of the chart's axis: a round number that is at least n.
  function roundUp(n) {
    const p = 10 ** Math.floor(Math.log10(n));
    return [1, 2, 4, 6, 8, 10].find(f => f * p >= n) * p;
  }
  const short = n => n >= 10000 ? Math.round(n / 1000) + "k" : n >= 1000 ? +(n / 1000).toFixed(1) + "k" : String(+n.toFixed(1));
  new ResizeObserver(() => { if (lastDay) showDay(lastDay); }).observe($("#chart"));

  function showSources(sources) {
    const select = $("#source"), key = sources.join(" ");
    if (select.dataset.key === key) return;
    select.dataset.key = key;
    const chosen = view.source;
    const names = chosen && !sources.includes(chosen) ? [chosen, ...sources] : sources;
    select.replaceChildren(...["", ...names].map(s => {
      const o = make("option", "", s || "any");
      o.value = s;
      return o;
    }));
    select.value = chosen;
  }

  // ---- the connection ---------------------------------------------------------------

  let lastAnswer = 0, away = false, backUntil = 0;

  function connection(state, text) {
    const e = $("#connection");
    e.dataset.state = state;
    put(e, text);
    document.body.dataset.stale = String(state === "away");
  }

  function answered() {
    if (away) {
      backUntil = performance.now() + 10000;
      askWho().then(() => { if (view.job) showFile(view.job, true); });
    }
    away = false;
    lastAnswer = Date.now();
    connection("live", backUntil > performance.now() ? "back, and up to date" : "up to date");
  }

  function unanswered(why) {
    away = true;
    const since = lastAnswer ? " The page shows the state of " + dateTime(lastAnswer + skew) + "." : "";
    connection("away", why + since);
    const box = $("#attention");
    if (!box.dataset.level || box.dataset.level === "good") { // known problems stay on the page
      box.dataset.level = "warn";
      put($("#health"), (lastAnswer ? "All was well. " : "") + "The present state is unknown.");
    }
    document.title = "(no answer) Backburn";
  }

  async function ask(path, parameters = {}, signal = AbortSignal.timeout(TIMEOUT)) {
    const search = new URLSearchParams(Object.entries(parameters).filter(([, v]) => v !== "" && v !== undefined && v !== 0));
    let res, text, body;
    try {
      res = await fetch(path + (search.size ? "?" + search : ""), { signal, cache: "no-store" });
      text = await res.text();
    } catch { throw new Unanswered("The process does not answer."); }
    try { body = JSON.parse(text); } catch { // such as the login page of a proxy, or a refusal of the listener
      throw new Unanswered("There is no usable answer (HTTP status " + res.status + "). Reload the page.");
    }
    if (!res.ok) throw new Refused(body.error ?? res.status);
    return body;
  }
  class Refused extends Error {}    // the process answered with an error
  class Unanswered extends Error {} // there is no answer, or none that the page can use

  // showTime shows the time zone, and the dates of the listed times if the day has changed.
  let today = "";
  function showTime() {
    put($("#place"), location.host + " · times in " + zone() + (zone() === "UTC" ? "" : " (" + offset(now()) + ")"));
    const day = new Date(now()).toDateString();
    if (day === today) return;
    today = day;
    for (const t of list.querySelectorAll("time")) t.textContent = dateTime(t.dateTime);
  }

  let timer = 0, polling = false, dayAt = 0; // dayAt is by the clock of performance.now
  async function poll() {
    clearTimeout(timer);
    if (polling || document.hidden) return;
    polling = true;
    if (!away && Date.now() - lastAnswer > 2 * TIMEOUT) connection("waiting", "asking…"); // the page was hidden, or the machine slept
    try {
      const st = await ask("api/status");
      skew = Date.parse(st.time) - Date.now();
      showTime();
      showStatus(st);
      natsAway = st.lanes ? "" : st.away.since;
      answered();
      if (performance.now() - dayAt > DAY_PERIOD || !lastDay?.ready) {
        showDay(await ask("api/overview"));
        dayAt = performance.now();
      }
      await refresh();
    } catch (e) {
      unanswered(e instanceof Refused ? "The process cannot determine the state: " + e.message + "."
        : e instanceof Unanswered ? e.message : "This page cannot show the answer: reload it. (" + e.message + ")");
      stream("away", "not live; retrying");
    } finally {
      polling = false;
      timer = setTimeout(poll, PERIOD);
    }
  }

  // ---- files ------------------------------------------------------------------------

  const LEVELS = { benign: "good", malware: "bad", phishing: "bad", c2: "bad", grayware: "warn" };
  const BASES = { upload: "uploaded", shared: "uploaded by another job", lookup: "WildFire knew it", cache: "known here" };
  const SINCE = { "1h": 3600e3, "24h": 86400e3, "7d": 7 * 86400e3 };
  const list = $("#events");
  const levelOf = e => e.event === "failed" ? "warn" : LEVELS[e.outcome] ?? "";
  // Spaces at the ends of a name would be invisible.
  const nameOf = e => (e.filename || e.url || e.job).replace(/^\p{Zs}+|\p{Zs}+$/gu, s => "␣".repeat(s.length));

  // view is the search and the displayed file, as in the URL.
  let view = { q: "", outcome: "", source: "", since: "", job: "" };
  const FILTERS = ["q", "outcome", "source", "since"];

  // address returns the URL of the view with changes.
  function address(change = {}) {
    const v = { ...view, ...change };
    return "#" + new URLSearchParams(Object.entries(v).filter(([, x]) => x));
  }

  let newest = 0, waiting = [], more = false, known = false, natsAway = "";

  function item(e, fresh) {
    const li = make("li", fresh ? "new" : ""), a = make("a"), time = make("time", "", dateTime(e.time));
    li.dataset.seq = e.seq;
    li.dataset.level = levelOf(e);
    time.dateTime = e.time;
    time.title = full(e.time);
    a.dataset.job = e.source + "/" + e.job;
    a.href = address({ job: a.dataset.job });
    const file = make("span", "file");
    file.append(put(make("span", "name"), nameOf(e)));
    file.append(put(make("span", "small"), e.event === "failed" ? e.outcome.replaceAll("_", " ") + ", from " + e.source : "from " + e.source));
    a.append(badge(e.event === "failed" ? "failed" : (e.event === "changed" ? "now " : "") + e.outcome, li.dataset.level), file, time);
    li.append(a);
    return li;
  }

  // parameters returns the query of the search.
  const parameters = () => ({ q: view.q, outcome: view.outcome, source: view.source, since: SINCE[view.since] ? new Date(now() - SINCE[view.since]).toISOString() : "" });

  // atTop reports whether new files may be shown at once. A user who has scrolled down or is
  // reading a file keeps their place.
  function atTop() {
    const box = $("#files"), inner = getComputedStyle(box).overflowY !== "visible" && box.scrollHeight > box.clientHeight;
    return (inner ? box.scrollTop < 40 : list.getBoundingClientRect().top > 0 || scrollY < 40)
      && !$("#file").open && !list.contains(document.activeElement);
  }

  // search replaces the list.
  let searching, searchedAt = 0;
  async function search(limit = PAGE) {
    searching?.abort();
    const mine = searching = new AbortController(), timeout = setTimeout(() => mine.abort(), TIMEOUT);
    searchedAt = now();
    try {
      const f = await ask("api/search", { ...parameters(), limit }, mine.signal);
      if (searching !== mine) return;
      searching = undefined;
      known = f.ready;
      newest = f.last;
      waiting = [];
      list.replaceChildren(...f.hits.map(e => item(e, false)));
      more = f.matches > f.hits.length;
      $("#files").scrollTop = 0;
      showMatches(f);
    } catch (e) {
      if (searching !== mine) return;
      searching = undefined;
      stream("away", e instanceof Refused ? "not live: " + e.message : "not live; retrying");
    } finally {
      clearTimeout(timeout);
    }
  }

  // refresh requests new files.
  async function refresh() {
    if (searching) return;
    if (!known) return search(); // the events are still being read
    if (view.since && atTop() && Math.abs(now() - searchedAt) > SINCE_PERIOD) { // some are too old by now
      return search(Math.min(KEEP, Math.max(PAGE, list.children.length)));
    }
    const f = await ask("api/search", { ...parameters(), after: newest, limit: KEEP });
    if (searching) return;
    if (view.job && f.hits.some(e => e.source + "/" + e.job === view.job)) showFile(view.job, true); // update the displayed file
    if (!f.ready || f.last < newest || f.matches > f.hits.length) { // another stream, or too many new files
      if (f.ready && !atTop()) {
        waiting = f.hits;
        newest = f.last;
        matched += f.matches;
        showWaiting();
      } else await search();
      return;
    }
    newest = f.last;
    matched += f.matches;
    waiting = [...f.hits, ...waiting].slice(0, KEEP);
    if (waiting.length && atTop()) showNew(); else showWaiting();
    showMatches();
  }

  // showNew adds the new files to the list.
  function showNew() {
    list.prepend(...waiting.map(e => item(e, true)));
    waiting = [];
    while (list.children.length > KEEP) {
      list.lastChild.remove();
      more = true;
    }
    showWaiting();
  }

  function showWaiting() {
    $("#newer").hidden = waiting.length === 0;
    put($("#newer"), (waiting.length >= KEEP ? KEEP + " or more" : waiting.length) + " new");
  }

  function stream(state, text) {
    $("#stream").dataset.state = state;
    put($("#stream"), text);
  }

  let matched = 0, lastResult = {}; // lastResult is the last whole answer to a search
  function showMatches(f) {
    if (f) [matched, lastResult] = [f.matches, f];
    const filtered = FILTERS.some(k => view[k]);
    $("#older").hidden = !more || list.children.length >= MOST;
    $("#no-events").hidden = list.children.length > 0 || !known;
    put($("#no-events"), filtered ? "Nothing matches." : "Nothing yet.");
    $("#clear").hidden = !filtered;
    const say = [];
    if (known && (filtered || more)) say.push(count(matched) + (filtered ? (matched === 1 ? " file matches" : " files match") : " files"));
    if (lastResult.older && lastResult.from) say.push("events since " + dateTime(lastResult.from) + "; `backburn results` has older ones");
    if (list.children.length >= MOST && more) say.push("narrow the search to see older files");
    putWithCode($("#matches"), say.join("; "));
    if (natsAway) stream("away", known ? "NATS is unreachable: nothing new since " + dateTime(natsAway) : "NATS has been unreachable since " + dateTime(natsAway));
    else if (!known) stream("waiting", lastResult.error || "reading…");
    else stream("live", "live");
  }

  $("#newer").addEventListener("click", () => {
    $("#files").scrollTop = 0;
    showNew();
    list.querySelector("a")?.focus({ preventScroll: false });
  });
  $("#older").addEventListener("click", async () => {
    const last = list.lastElementChild;
    if (!last) return;
    try {
      const f = await ask("api/search", { ...parameters(), before: Number(last.dataset.seq), limit: Math.min(PAGE, MOST - list.children.length) });
      if (list.lastElementChild !== last) return; // another list, or these files were already added
      list.append(...f.hits.map(e => item(e, false)));
      more = f.hits.length > 0 && f.hits.length === Math.min(PAGE, MOST - list.children.length + f.hits.length);
      showMatches();
      last.nextElementSibling?.firstChild.focus();
    } catch { stream("away", "not live; retrying"); }
  });

  // ---- one file ---------------------------------------------------------------------

  let portal = "";
  const dialog = $("#file");

  // quoted quotes a text for a shell; undefined if the text is not safe to paste.
  function quoted(text) {
    if (text.match(ODD)) return undefined;
    return /^[\w.\/:@%+=-]+$/.test(text) ? text : "'" + text.replaceAll("'", "'\\''") + "'";
  }

  function pairs(dl, rows) {
    dl.replaceChildren(...rows.filter(([, v]) => v).flatMap(([k, v]) => [put(make("dt"), k), put(make("dd", /^[0-9a-f]{32,64}$/.test(v) ? "hash" : ""), v)]));
  }

  const STEP_NAMES = {
    queued: "Received, waiting in the queue", audit: "Action of a user", submitted: "Uploaded", waiting: "Waits", verdict: "Verdict", failed: "Failed",
    changed: "WildFire changed the verdict", report: "Report", dead: "Kept as a dead letter", sample: "Contents",
  };

  // reportOf describes the state of WildFire's report about contents; undefined if unknown.
  function reportOf(note) {
    return note && (note.state === "available" ? "available" : "WildFire has none") + " since " + full(note.at);
  }

  // showFile shows a file, or updates it if it is already shown.
  async function showFile(ref, again = false) {
    const at = ref.indexOf("/"), source = ref.slice(0, at), id = ref.slice(at + 1);
    if (!again) {
      put($("#file-h"), id);
      put($("#file-state"), "Asking…");
      for (const s of ["#facts", "#steps", "#meta", "#same", "#acts", "#commands"]) $(s).replaceChildren();
      for (const s of ["#meta-box", "#same-box"]) $(s).hidden = true;
      put($("#steps-note"), "");
    }
    if (!dialog.open) dialog.showModal();
    let j;
    try {
      j = await ask("api/job", { source, id }, AbortSignal.timeout(2 * TIMEOUT));
    } catch (e) {
      if (view.job === ref) put($("#file-state"), e instanceof Refused ? "This cannot be shown: " + e.message : e.message);
      return;
    }
    if (view.job !== ref) return; // another file was opened meanwhile
    const e = j.events.find(x => x.event !== "changed") ?? j.events[0], latest = j.events[0], t = j.trace;
    const steps = [...t?.steps ?? []], first = steps[0];
    if (e) put($("#file-h"), nameOf(e)); else if (first?.name) put($("#file-h"), first.name);
    const state = $("#file-state");
    if (latest) state.replaceChildren(badge(latest.event === "failed" ? "failed" : latest.outcome, levelOf(latest)), put(make("span"), " " + (latest.event === "failed" ? latest.outcome.replaceAll("_", " ") + ": " + latest.message : "since " + full(latest.time))));
    else put(state, !t ? "This process knows nothing about it." : t.state === "unknown" ? "Nothing is known about it." : capital(t.state) + (t.since ? " since " + full(t.since) : "") + (t.waits_for ? "; waits for " + t.waits_for : ""));
    const sha = e?.sha256 || (/^[0-9a-f]{64}$/.test(t?.sample?.key ?? "") ? t.sample.key : "");
    pairs($("#facts"), [
      ["Path", e?.path], ["Link", e?.url], ["Source", source], ["Job", id], ["SHA-256", sha], ["MD5", e?.md5], ["Type", e?.filetype],
      ["Size", e && (e.size || sha) && !e.url ? size(e.size) + " (" + count(e.size) + " bytes)" : ""], ["Verdict by", BASES[e?.basis] ?? e?.basis],
      ["Took", e?.took ? shortDuration(e.took) : ""], ["Report", reportOf(t?.sample?.report)],
    ]);
    // If there is no trace, show the events instead.
    const line = steps.length ? steps : [...j.events].reverse().map(x => ({ time: x.time, what: x.event, detail: x.message || x.outcome }));
    const received = e?.took ? new Date(Date.parse(e.time) - e.took * 1000).toISOString() : "";
    if (received && !line.some(s => s.what === "queued")) line.unshift({ time: received, what: "received", detail: "from " + source });
    $("#steps").replaceChildren(...line.map(s => {
      const li = make("li"), time = make("time", "", full(s.time)), what = put(make("span", "what"), STEP_NAMES[s.what] ?? capital(s.what));
      time.dateTime = s.time;
      if (s.what === "verdict" || s.what === "changed") li.dataset.level = LEVELS[(s.detail ?? "").split(",")[0]] ?? "";
      if (s.what === "failed" || s.what === "dead") li.dataset.level = "warn";
      if (s.detail) what.append(put(make("span", "small"), s.detail));
      li.append(time, what);
      return li;
    }));
    put($("#steps-note"), [j.trace_error && "The trace is incomplete: " + j.trace_error, ...t?.notes ?? []].filter(Boolean).join("; "));
    const meta = Object.entries(t?.metadata ?? {});
    $("#meta-box").hidden = meta.length === 0;
    pairs($("#meta"), meta);
    $("#same-box").hidden = j.same.jobs === 0;
    put($("#same-count"), ": " + count(j.same.jobs) + (j.same.jobs > j.same.hits.length ? "; the newest are" : ""));
    $("#same").replaceChildren(...j.same.hits.map(x => item(x, false)));
    const dead = steps.find(s => s.what === "dead"), job = quoted(ref);
    const commands = [];
    if (job) commands.push(["backburn trace " + job, "shows everything about this job"]);
    // Lists have only the beginning of a long link; the trace has all of it.
    const link = e?.url && (steps.find(s => s.name?.startsWith(e.url))?.name ?? (new TextEncoder().encode(e.url).length < LONG ? e.url : ""));
    const asked = sha || link && quoted(link);
    if (asked) commands.push(["backburn recheck " + asked, "asks WildFire again, and publishes a changed verdict"]);
    if (sha) commands.push(["backburn report " + sha, "WildFire's report"]);
    if (t?.sample?.report?.state === "available") commands.push(["backburn report " + sha + " --format stix", "its indicators, as STIX 2.1"]);
    if (dead?.seq) commands.push(["backburn dead show " + dead.seq, "the dead letter"], ["backburn dead replay " + dead.seq, "submits it again"]);
    $("#commands").replaceChildren(...commands.map(([text, what]) => {
      const li = make("li"), b = make("button", "", "Copy");
      b.ariaLabel = "Copy " + text;
      b.addEventListener("click", () => copy(b, $("code", li)));
      li.append(put(make("code"), text), b, put(make("span", "small"), what));
      return li;
    }));
    const buttons = [];
    if (user && dead?.seq) buttons.push(act("Retry…", "retry", "Retry", "The job is submitted again with a new ID. A recorded refusal is ignored, and an upload counts against the budget. The dead letter is removed.", { letter: dead.seq }));
    if (user && (sha || link)) buttons.push(act("Ask WildFire again…", "ask", "Ask WildFire again", "This costs at most one of the day's queries. A changed verdict is published for every job with " + (sha ? "these contents." : "this link."), sha ? { sha256: sha } : { url: link }));
    $("#acts").hidden = buttons.length === 0;
    $("#acts").replaceChildren(...buttons);
    if (portal && sha) {
      const li = make("li"), a = make("a", "", "WildFire's own portal");
      a.href = portal;
      a.rel = "noreferrer noopener";
      a.target = "_blank";
      li.append(a, put(make("span", "small"), "search for the SHA-256 there"));
      $("#commands").append(li);
    }
  }

  // ---- what users may do --------------------------------------------------------------

  // user is the logged-in user; "" if there is none, and then there are no actions.
  let user = "";
  async function askWho() {
    try { user = (await ask("api/me")).user; } catch { return; }
    $("#who").hidden = !user;
    put($("#who"), user ? "logged in as " + user : "");
  }

  // act returns the button of an action.
  function act(label, action, title, what, body) {
    const b = make("button", "", label);
    b.type = "button";
    b.addEventListener("click", () => confirmAct(action, title, what, title, body));
    return b;
  }

  // confirmAct asks for confirmation, acts, and shows the result.
  const asking = $("#act");
  let acting; // the action to confirm
  function confirmAct(action, title, what, label, body = {}) {
    acting = { action, body };
    put($("#act-h"), title);
    put($("#act-what"), what);
    put($("#act-said"), "");
    put($("#act-do"), label);
    put($("#act-close"), "Cancel");
    $("#act-do").hidden = false;
    $("#act-do").disabled = false;
    $("#act-pause").hidden = action !== "pause";
    $("#act-reason").value = "";
    asking.showModal();
    (action === "pause" ? $("#act-for") : $("#act-do")).focus();
  }

  $("#act-form").addEventListener("submit", async e => {
    e.preventDefault();
    const mine = acting, body = { ...mine.body };
    if (mine.action === "pause") [body.for, body.reason] = [$("#act-for").value, $("#act-reason").value.trim()];
    $("#act-do").disabled = true;
    put($("#act-said"), "…");
    let said, done = false;
    try {
      const res = await fetch("api/act/" + mine.action, {
        method: "POST", cache: "no-store", signal: AbortSignal.timeout(40000),
        headers: { "Content-Type": "application/json", "Backburn-Act": "1" }, body: JSON.stringify(body),
      });
      const answer = await res.json().catch(() => ({}));
      done = Boolean(answer.done);
      said = capital(answer.done ?? answer.error ?? "there is no usable answer (HTTP status " + res.status + "): reload the page") + ".";
    } catch {
      said = "The process does not answer. The action may or may not have been carried out.";
    }
    if (acting !== mine || !asking.open) return;
    put($("#act-said"), said);
    $("#act-do").disabled = false;
    $("#act-do").hidden = done;
    put($("#act-close"), "Close");
    if (done) {
      $("#act-close").focus();
      poll();
      if (view.job) showFile(view.job, true);
    }
  });
  $("#act-close").addEventListener("click", () => asking.close());

  async function copy(button, code) {
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch { // not allowed: select the text, so that it can be copied by hand
      getSelection().selectAllChildren(code);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  }

  // The browser reports a close some time later. Then another file may be open, or about to be.
  dialog.addEventListener("close", () => {
    if (!dialog.open && view.job && fromAddress().get("job") === view.job) go({ job: "" });
  });
  dialog.addEventListener("click", e => { if (e.target === dialog) dialog.close(); });

  // ---- the address ------------------------------------------------------------------

  const fromAddress = () => new URLSearchParams(location.hash.slice(1));

  // go changes the URL without adding an entry to the history.
  function go(change) {
    history.replaceState(null, "", address(change) === "#" ? location.pathname + location.search : address(change));
    readAddress();
  }

  // readAddress updates the view from the URL.
  function readAddress() {
    if (location.hash === "#files") return; // the skip link
    const p = fromAddress(), before = view;
    view = { q: p.get("q") ?? "", outcome: p.get("outcome") ?? "", source: p.get("source") ?? "", since: Object.hasOwn(SINCE, p.get("since")) ? p.get("since") : "", job: p.get("job") ?? "" };
    if (view.source && ![...$("#source").options].some(o => o.value === view.source)) {
      const o = make("option", "", view.source);
      o.value = view.source;
      $("#source").append(o);
    }
    for (const k of FILTERS) if ($("#" + k).value !== view[k]) $("#" + k).value = view[k];
    if (FILTERS.some(k => view[k] !== before[k])) {
      known = false;
      search();
      for (const a of list.querySelectorAll("a")) a.href = address({ job: a.dataset.job });
    }
    if (view.job && view.job !== before.job) showFile(view.job);
    else if (!view.job && dialog.open) dialog.close();
  }
  addEventListener("hashchange", readAddress);

  let typing = 0;
  $("#q").addEventListener("input", e => {
    clearTimeout(typing);
    typing = setTimeout(() => go({ q: e.target.value.trim() }), 150);
  });
  for (const k of FILTERS.slice(1)) $("#" + k).addEventListener("change", e => go({ [k]: e.target.value }));
  $("#find").addEventListener("submit", e => { e.preventDefault(); clearTimeout(typing); go({ q: $("#q").value.trim() }); });
  $("#find").addEventListener("reset", e => { e.preventDefault(); go({ q: "", outcome: "", source: "", since: "" }); });

  // Do not poll while the page is hidden.
  document.addEventListener("visibilitychange", poll);
  showTime();
  readAddress();
  askWho().then(() => { if (user && view.job) showFile(view.job); });
  poll();
})();
