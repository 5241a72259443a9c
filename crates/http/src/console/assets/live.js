// Updates the overview: one redraw for each event of the stream.
(() => {
  'use strict';
  const WIDTH = 720, HEIGHT = 160, MARGIN = 4, POINTS = 120;
  const byId = (id) => document.getElementById(id);
  let points = [];

  const rounded = (value) => value >= 100 ? Math.round(value).toLocaleString('en') : String(+value.toFixed(1));
  const ms = (value) => value == null ? '–' : value >= 1000 ? rounded(value / 1000) + ' s' : rounded(value) + ' ms';
  const count = (value) => value == null ? '–' : value.toLocaleString('en');
  const span = (secs) => {
    if (secs == null) return '–';
    const [days, hours, minutes] = [Math.floor(secs / 86400), Math.floor(secs / 3600) % 24, Math.floor(secs / 60) % 60];
    if (days) return `${days} d ${hours} h`;
    if (hours) return `${hours} h ${minutes} min`;
    return minutes ? `${minutes} min ${secs % 60} s` : `${secs} s`;
  };
  const codes = (point, wanted) => Object.entries(point.codes)
    .reduce((sum, [code, rate]) => sum + ((code < '300') === wanted ? rate : 0), 0);

  const charts = [
    { id: 'rate-chart', show: rounded, unit: 'per second', lines: [(p) => p.rate, (p) => p.http_rate] },
    { id: 'latency-chart', show: ms, unit: '', lines: [(p) => p.p50_ms, (p) => p.p99_ms] },
    { id: 'codes-chart', show: rounded, unit: 'per second', lines: [(p) => codes(p, true), (p) => codes(p, false)] },
  ];

  function draw({ id, show, unit, lines }) {
    const figure = byId(id), paths = figure.querySelectorAll('path');
    const values = lines.map((line) => points.map(line));
    const peak = Math.max(0, ...values.flat().filter((value) => value != null));
    values.forEach((series, index) => {
      let path = '', gap = true;
      series.forEach((value, at) => {
        if (value == null) { gap = true; return; }
        const x = WIDTH - MARGIN - (series.length - 1 - at) * (WIDTH - 2 * MARGIN) / (POINTS - 1);
        const y = HEIGHT - MARGIN - (peak ? value / peak : 0) * (HEIGHT - 2 * MARGIN);
        path += `${gap ? 'M' : 'L'}${x.toFixed(1)} ${y.toFixed(1)}`;
        // A single point is a dot, not nothing.
        if (gap) path += 'h0.1';
        gap = false;
      });
      paths[index].setAttribute('d', path);
    });
    const name = figure.querySelector('figcaption').firstChild.data;
    const at_most = peak ? `highest ${show(peak)} ${unit}`.trim() : 'nothing yet';
    figure.querySelector('.peak').textContent = at_most;
    figure.querySelector('svg').setAttribute('aria-label', `${name} over the last two minutes: ${at_most}`);
  }

  function badge(id, tone, word) {
    const place = byId(id).querySelector('.badge');
    if (place.textContent === word) return;
    place.className = `badge ${tone}`;
    place.textContent = word;
  }

  function tell(sample) {
    const set = (id, text) => { byId(id).textContent = text; };
    set('rate', rounded(sample.rate));
    set('p50', ms(sample.p50_ms));
    set('p99', ms(sample.p99_ms));
    set('waiting', count(sample.waiting));
    set('consumers', count(sample.consumers));
    set('dead', count(sample.dead));
    set('pending', sample.pending >= 10000 ? '10,000 or more' : count(sample.pending));
    set('oldest', span(sample.oldest_secs));
    badge('broker', sample.broker ? 'good' : 'bad', sample.broker ? 'reached' : 'unreachable');
    badge('database', sample.database ? 'good' : 'bad', sample.database ? 'reached' : 'unreachable');
    if (!sample.ready) badge('instance', 'bad', 'not ready');
    else if (sample.active) badge('instance', 'good', 'active');
    else if (sample.consumers === 1) badge('instance', 'good', 'active, the only one');
    else badge('instance', '', 'idle or standby');
  }

  function state(word) {
    const place = byId('stream');
    if (place.textContent !== word) place.textContent = word;
  }

  const stream = new EventSource('/console/live');
  stream.addEventListener('history', (event) => {
    points = JSON.parse(event.data);
    charts.forEach(draw);
    state('Live');
  });
  stream.addEventListener('sample', (event) => {
    const sample = JSON.parse(event.data);
    points = [...points, sample].slice(-POINTS);
    charts.forEach(draw);
    tell(sample);
    state('Live');
  });
  stream.addEventListener('error', () => {
    state(stream.readyState === EventSource.CLOSED
      ? 'Live updates ended: reload the page'
      : 'Connection lost, retrying');
  });
})();
