
"use strict";
(() => {
  const PERIOD = 2000;   // milliseconds between two looks at /api/status
  const PATIENCE = 8000; // until a look is given up
  const KEEP = 50;       // verdicts in the list

  const $ = (selector, root = document) => root.querySelector(selector);

  // ---- text -------------------------------------------------------------------------

  // Characters without a shape, and those that turn the direction of writing: with them
  // "exe.fdp" can be made to read "pdf.exe". They are shown by their number.
  const ODD = /[\p{Cc}\p{Cf}\p{Co}\p{Cn}\u2028\u2029]/gu;

  // put replaces the contents of an element by a text of anybody's, never by markup. It
  // leaves an element alone that shows that text, for the sake of selections in it.
  function put(element, text) {
    text = String(text ?? "");
    if (element.dataset.text === text) return element;
    element.dataset.text = text;
    const parts = [];
    let at = 0;
    for (const m of text.matchAll(ODD)) {
      if (m.index > at) parts.push(text.slice(at, m.index));
      parts.push(make("span", "odd", "⟨U+" + m[0].codePointAt(0).toString(16).toUpperCase().padStart(4, "0") + "⟩"));
      at = m.index + m[0].length;
    }
    if (at < text.length) parts.push(text.slice(at));
    element.replaceChildren(...parts);
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

  // The clock of the process, not of this machine: ages are told by it.
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
  function seconds(t) {
    const d = new Date(t), today = new Date(now()).toDateString() === d.toDateString();
    return (today ? "" : d.getFullYear() + "-" + two(d.getMonth() + 1) + "-" + two(d.getDate()) + " ") + clock(t) + ":" + two(d.getSeconds());
  }

  // ---- tables -----------------------------------------------------------------------

  // fill makes the rows of a table those of the data. Rows and cells that are there already
  // are used again. cells gives for one datum what is in its cells: a text, or a function that
  // is given the cell.
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

  // lines is a cell with a text and small ones below it.
  const lines = (first, ...small) => td => {
    const key = JSON.stringify([first, small]);
    if (td.dataset.text === key) return;
    td.dataset.text = key;
    const nodes = [put(make("span"), first)];
    for (const s of small) if (s) nodes.push(put(make("span", "small"), s));
    td.replaceChildren(...nodes);
  };

  // ---- the state --------------------------------------------------------------------

  const LANES = ["urgent", "normal", "bulk"];
  const EXPECTED = new Set(["unsupported_type", "too_large", "empty", "withheld"]); // results.Reason.Expected

  const level = state => ({ ok: "good", degraded: "warn", failed: "bad", gone: "bad" })[state] ?? "";
  const name = p => p.part + (p.of ? " " + p.of : "");
  const said = p => p.note || [p.reason, p.remedy].filter(Boolean).join("; ");
  const unwell = st => (st.parts ?? []).filter(p => p.state === "degraded" || p.state === "failed" || p.note);

  // health is a cell with a badge and what there is to say.
  const health = (state, ...small) => td => {
    const key = JSON.stringify([state, small]);
    if (td.dataset.text === key) return;
    td.dataset.text = key;
    td.replaceChildren(badge(state, level(state)));
    for (const s of small) if (s) td.append(put(make("span", "small"), s));
  };

  function showStatus(st) {
    fill($("#parts"), unwell(st), p => [name(p), health(p.state, said(p)), age(p.since)]);
    showHere(st);
    const away = $("#away"), known = Boolean(st.lanes);
    away.hidden = known;
    for (const e of document.querySelectorAll(".fleet")) e.hidden = !known;
    if (known) showFleet(st);
    else put(away, "NATS is away since " + seconds(st.away.since) + ": " + st.away.reason + ". Nothing is known of the fleet; this process says of itself what follows.");
    showProblems(st, known);
  }

  // showFleet shows what NATS tells.
  function showFleet(st) {
    fill($("#jobs"), [["queued", "", st.queued], ["pending at WildFire", "", st.pending], ["parked", st.parked.reason, st.parked]],
      ([state, why, j]) => [state + (why ? " for " + why : "") + (j.until ? ", until " + seconds(j.until) : ""), count(j.jobs), age(j.oldest)]);
    fill($("#lanes"), LANES, lane => {
      const l = st.lanes[lane] ?? { waiting: 0, in_hand: 0 };
      return [lane, count(l.waiting), count(l.in_hand), age(l.oldest)];
    });
    for (const b of ["uploads", "queries"]) showBudget(b, st[b], st.paused[b]);
    fill($("#dead"), Object.entries(st.dead).sort((a, b) => b[1] - a[1]), ([reason, n]) =>
      [reason, count(n), EXPECTED.has(reason) ? "nobody: an ordinary outcome" : "needs a look"]);
    const dead = Object.values(st.dead).reduce((sum, n) => sum + n, 0);
    put($("#dead-count"), dead ? ": " + count(dead) : "");
    $("#dead").parentElement.querySelector(".hint").hidden = Object.keys(st.dead).length === 0;
    fill($("#members"), st.members, m => [
      lines(m.role, m.leader ? "leads" : "", m.version ? "version " + m.version : "", m.config ? "configuration " + m.config : ""),
      lines(m.host, "process " + m.pid),
      m.gone ? health("gone", "heard of last " + age(m.seen) + " ago") : health(m.state, ...(m.unwell ?? []).map(p => name(p) + ": " + said(p))),
      m.slots ?? 0, m.gone ? "–" : age(m.started)]);
  }

  // showHere shows what this process knows by itself.
  function showHere(st) {
    fill($("#uploading"), st.uploading ?? [], f => [f.filename, td => showProgress(td, f), age(f.since)]);
    fill($("#watch"), st.watch ?? [], f => [
      lines(f.path, "source " + f.source + (f.mode ? ", " + f.mode : "")),
      health(f.state, f.reason, f.held),
      count(f.pending), count(f.in_flight), count(f.finished)]);
    showToken(st.token);
  }

  function showBudget(name, b, paused) {
    const box = $("#budget-" + name), meter = $(".meter", box), limited = b.limit > 0;
    // Without a limit nothing is counted.
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
      parts.push("at this pace used up at " + clock(b.lasts_until));
      level = "warn";
    }
    if (paused && !paused.spent) {
      parts.push("paused until " + seconds(paused.until));
      level = "bad";
    }
    if (limited) parts.push("starts anew at " + clock(b.resets_at) + ", in " + until(b.resets_at));
    box.dataset.level = level;
    put($(".forecast", box), parts.join("; "));
  }

  function showProgress(td, f) {
    let bar = $("progress", td);
    if (!bar) {
      bar = make("progress");
      td.replaceChildren(bar, make("span", "small"));
    }
    bar.max = Math.max(1, f.total);
    bar.value = Math.min(f.sent, f.total);
    bar.setAttribute("aria-label", "sent of " + f.filename);
    put($("span", td), f.sent >= f.total ? size(f.total) + " sent, awaiting the answer" : size(f.sent) + " of " + size(f.total));
  }

  function showToken(t) {
    const list = $("#token");
    list.hidden = !t;
    $(".none", list.parentElement).hidden = Boolean(t);
    if (!t) return;
    const level = { fresh: "good", stale: "warn", none: "", expired: "warn", rejected: "bad" }[t.state] ?? "";
    const rows = [
      ["Profile", t.name + " (" + t.kind + ")"],
      ["State", badge(t.state + (t.refreshing ? ", being renewed" : ""), level)],
      ["Age", t.obtained ? age(t.obtained) : ""],
      ["Expires", t.expires ? (Date.parse(t.expires) > now() ? "in " + until(t.expires) + ", at " + seconds(t.expires) : "has expired") : ""],
      ["Shared", t.shared ? "with the fleet" : "with nobody"],
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

  // showProblems says first what a person would have to look for below.
  function showProblems(st, known) {
    const found = [];
    for (const p of unwell(st)) {
      const is = { failed: " has failed since ", degraded: " is degraded since " }[p.state];
      found.push(name(p) + (is ? is + seconds(p.since) : "") + ": " + said(p));
    }
    if (known) {
      for (const [budget, p] of Object.entries(st.paused)) {
        if (!p.spent) found.push(budget[0].toUpperCase() + budget.slice(1) + " are paused until " + seconds(p.until) + ": " + p.reason);
      }
      const workers = st.members.filter(m => m.slots > 0 && !m.gone);
      if (workers.length === 0) found.push("No worker is running: jobs wait.");
      else if (!workers.some(w => w.leader)) found.push("No worker leads: nobody asks for verdicts.");
      for (const m of st.members) {
        if (m.id === st.id) continue; // its parts say more
        const who = "The " + m.role + " on " + m.host;
        if (m.gone) found.push(who + " is gone, heard of last " + age(m.seen) + " ago.");
        else if (m.unwell?.length && !(m.state === "ok")) found.push(who + " is " + m.state + ": " + name(m.unwell[0]) + ": " + said(m.unwell[0]));
      }
    }
    const list = $("#problems");
    while (list.children.length > found.length) list.lastChild.remove();
    found.forEach((text, i) => put(list.children[i] ?? list.appendChild(make("li")), text));
    $("#attention").hidden = found.length === 0;
    document.title = (found.length ? "(" + found.length + ") " : "") + "Backburn";
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
    if (away) backUntil = Date.now() + 10000;
    away = false;
    lastAnswer = Date.now();
    connection("live", backUntil > Date.now() ? "back, and up to date" : "up to date");
  }

  function unanswered(why) {
    away = true;
    const since = lastAnswer ? " What is shown is of " + seconds(lastAnswer + skew) + "." : "";
    connection("away", why + since);
    document.title = "(no answer) Backburn";
  }

  let timer = 0, looking = false;
  async function look() {
    clearTimeout(timer);
    if (looking || document.hidden) return;
    looking = true;
    try {
      const res = await fetch("api/status", { signal: AbortSignal.timeout(PATIENCE), cache: "no-store" });
      const st = await res.json();
      if (res.ok) {
        skew = Date.parse(st.time) - Date.now();
        showStatus(st);
        answered();
      } else {
        unanswered("The process can't tell the state: " + (st.error ?? res.status) + ".");
      }
    } catch {
      unanswered("The process does not answer.");
    } finally {
      looking = false;
      timer = setTimeout(look, PERIOD);
    }
  }

  // ---- verdicts ---------------------------------------------------------------------

  const LEVELS = { benign: "good", malware: "bad", phishing: "bad", c2: "bad", grayware: "warn" };
  const BASES = { upload: "uploaded", shared: "uploaded by another job", lookup: "WildFire knew it", cache: "known here" };
  const shown = new Map(); // elements by the id of their event, the oldest first
  const list = $("#events");

  function addEvent(e) {
    if (shown.has(e.id)) return;
    const failed = e.event === "failed", name = e.filename || e.url || e.job;
    const li = make("li", list.ariaBusy === "true" ? "" : "new"), details = make("details"), summary = make("summary");
    li.dataset.level = failed ? "warn" : LEVELS[e.outcome] ?? "";
    const time = make("time", "", seconds(e.time));
    time.dateTime = e.time;
    const verdict = badge(failed ? "failed" : (e.event === "changed" ? "now " : "") + e.outcome, li.dataset.level);
    const file = make("span", "file");
    file.append(put(make("span", "name"), name));
    if (failed) file.append(put(make("span", "small"), e.outcome.replaceAll("_", " ")));
    summary.append(verdict, file, time);
    const rows = make("dl");
    for (const [term, value] of [
      ["Why", e.message], ["Path", e.path], ["Source", e.source], ["SHA-256", e.sha256], ["Type", e.filetype],
      ["Size", e.size ? size(e.size) : ""], ["Verdict by", BASES[e.basis] ?? e.basis], ["Took", e.took ? span(e.took * 1000) : ""], ["Job", e.job],
    ]) if (value) rows.append(make("dt", "", term), put(make("dd"), value));
    details.append(summary, rows);
    li.append(details);
    list.prepend(li);
    shown.set(e.id, li);
    for (const [id, old] of shown) {
      if (shown.size <= KEEP) break;
      if (old.contains(document.activeElement)) continue; // nothing is taken out of a reader's hands
      old.remove();
      shown.delete(id);
    }
    $("#no-events").hidden = true;
  }

  function stream(state, text) {
    $("#stream").dataset.state = state;
    put($("#stream"), text);
  }

  let source, again = 0;
  function listen() {
    clearTimeout(again);
    if (source || document.hidden) return;
    list.ariaBusy = "true"; // what is old is not read out
    source = new EventSource("api/events");
    source.onmessage = m => addEvent(JSON.parse(m.data));
    source.addEventListener("live", () => { list.ariaBusy = "false"; stream("live", "live"); });
    source.onerror = () => {
      // A browser gives up where the answer is an error, and where the connection broke tries
      // again by itself; here it is the same for both.
      hangUp();
      stream("away", "not live; trying again");
      again = setTimeout(listen, PERIOD);
    };
  }
  function hangUp() {
    source?.close();
    source = undefined;
  }

  $("#only").addEventListener("change", e => { list.dataset.only = String(e.target.checked); });

  // A page that nobody sees costs nothing.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) hangUp(); else { look(); listen(); }
  });
  put($("#place"), location.host);
  look();
  listen();
})();
