// The parts of a run's page: meters, what needs attention, phases, matrix, table, log, cost.

import { Part, fill, h, setText } from './dom.js'
import { clock, count, duration, money, oneLine } from './text.js'
import { SIGNS, STATES, claims, disputed, needs, stateOf } from './attention.js'

export const ORDER = ['ok', 'reused', 'model', 'tool', 'held', 'queued', 'skipped', 'cancelled', 'interrupted', 'limited', 'stalled', 'timed_out', 'invalid', 'failed']
export const STATUS_SIGNS = {
  running: '▶', waiting: '!', paused: '‖', interrupted: '✗', completed: '✓', partial: '◐', failed: '✗', stopped: '■', budget_exceeded: '$',
  rejected: '✗',
}

export function statusPill(status) {
  return h('span.pill', { class: `status-${status}` }, h('i', { 'aria-hidden': 'true' }, STATUS_SIGNS[status] ?? '·'), status.replaceAll('_', ' '))
}

export function tally(agents, timeline) {
  const counts = {}
  for (const agent of agents) {
    const state = stateOf(agent, timeline.doing(agent.id))
    counts[state] = (counts[state] ?? 0) + 1
  }
  return counts
}

// A stacked bar: one segment a state, in the order of ORDER.
export function stacked(counts, total) {
  const parts = ORDER.filter((state) => counts[state]).map((state) =>
    h('i', { class: `state-${state}`, style: { 'flex-grow': String(counts[state]) }, title: `${counts[state]} ${STATES[state]}` }))
  const label = ORDER.filter((state) => counts[state]).map((state) => `${counts[state]} ${STATES[state]}`).join(', ')
  return h('.stacked', { role: 'img', 'aria-label': `${label || 'none'} of ${total}` }, parts)
}

function bar(part, label, hot = NaN) {
  const fraction = Math.max(0, Math.min(1, part))
  return h('.bar', { role: 'meter', 'aria-label': label, 'aria-valuemin': '0', 'aria-valuemax': '100', 'aria-valuenow': String(Math.round(fraction * 100)) },
    h('i', { class: fraction >= hot ? 'hot' : '', style: { width: `${fraction * 100}%` } }))
}

// --- meters --------------------------------------------------------------------------------------------------------

export class Meters {
  constructor(node, open) {
    this.part = new Part(node, (facts) => this.build(facts))
    this.open = open
  }

  show(view, timeline, now) {
    const counted = view.counted()
    const counts = tally(counted, timeline)
    const usage = view.usage()
    const facts = { counts, total: counted.length, usage, bounds: view.bounds, elapsed: view.durationS(now), coverage: view.coverage(), model: view.model, simulated: view.simulated, ended: view.ended }
    this.part.show([facts, Math.round(facts.elapsed * 2)], facts)
  }

  build({ counts, total, usage, bounds, elapsed, coverage, model, simulated, ended }) {
    const working = (counts.model ?? 0) + (counts.tool ?? 0) + (counts.held ?? 0)
    const cached = usage.input_tokens ? Math.round((100 * usage.cached_input_tokens) / usage.input_tokens) : 0
    const { budget_tokens: tokens, budget_usd: usd } = bounds
    const rate = elapsed > 0 ? usage.output_tokens / elapsed : 0
    const legend = ORDER.filter((state) => counts[state]).map((state) =>
      h('button.chip', { type: 'button', class: `ink-${state}`, title: STATES[state], onclick: () => this.open('agents', `state:${state}`) },
        h('i', { 'aria-hidden': 'true' }, SIGNS[state]), counts[state], h('span.visually-hidden', null, ` ${STATES[state]}`)))
    const card = (name, value, detail, below, act) =>
      h('button.card', { type: 'button', onclick: act }, h('span.name', null, name), h('span.value', null, value), h('span.detail', null, detail), below)
    const spent = usage.usd
    return [
      h('.card.wide', null, h('span.name', null, 'Agents'), h('span.value', null, `${coverage.ok} of ${total} ok`), h('.chips', null, legend), stacked(counts, total)),
      card('Tokens', `${count(usage.input_tokens)} in · ${count(usage.output_tokens)} out`,
        `${cached}% cached · ${count(rate)}/s out`,
        tokens ? bar(usage.output_tokens / tokens, `of ${count(tokens)} output tokens`, 0.9) : null, () => this.open('cost')),
      card('Cost', simulated && !spent ? 'simulated' : money(spent), usd ? `of ${money(usd)}` : tokens ? `ceiling ${count(tokens)} tokens` : simulated ? 'simulated: nothing is paid' : 'no ceiling set',
        usd && spent !== null ? bar(spent / usd, `of ${money(usd)}`, 0.9) : null, () => this.open('cost')),
      card('Time', duration(elapsed), ended ? 'of work' : `${working} of ${bounds.concurrency ?? '?'} slots at work`,
        ended ? null : bar(working / (bounds.concurrency || 1), 'slots at work'), () => this.open('timeline')),
      h('.card.model', null, h('span.name', null, 'Model'), h('span.value.small', null, oneLine(model, 40)), h('span.detail', null, simulated ? 'simulated: no language model answers' : 'of agents that name none')),
    ]
  }
}

// --- what needs attention ------------------------------------------------------------------------------------------

// Troubles that go on while a run is at rest.
const LASTING = new Set(['gate', 'gone', 'held'])

function sinceText(need, now) {
  const time = duration(Math.abs(now - need.since))
  return need.since > now ? `for ${time} yet` : `${time} ago`
}

const NEED_SIGNS = { gate: '!', conflict: '±', gone: '✗', script: '✗', still: 'z', failed: '✗', held: '◔', budget: '$', slow: '»' }

export class Attention {
  constructor(node, choose) {
    this.part = new Part(node, (found, now) => this.build(found, now))
    this.choose = choose
  }

  // How long a trouble has lasted is told by the time of the run where that goes on (`moves`), else by the clock, and of
  // what is over not at all.
  show(view, now, moves, clock) {
    const found = needs(view, now)
    const lasted = (need) => (moves ? sinceText(need, now) : clock !== null && LASTING.has(need.kind) ? sinceText(need, clock) : '')
    this.part.show([found, Math.round((moves ? now : clock ?? 0) / 5)], found, lasted)
  }

  build(found, lasted) {
    const rows = found.slice(0, 100).map((need) =>
      h('li', null, h('button.need', { type: 'button', class: `need-${need.kind}`, onclick: () => this.choose(need) },
        h('i', { 'aria-hidden': 'true' }, NEED_SIGNS[need.kind]),
        h('span', null, h('span.what', null, oneLine(need.text, 140)),
          h('span.when', null, lasted(need))))))
    return [
      h('h2', null, 'Needs attention', found.length ? h('span.badge', null, found.length) : null),
      found.length ? h('ul.needs', null, rows) : h('p.calm', null, h('i', { 'aria-hidden': 'true' }, '✓'), ' Nothing needs you.'),
    ]
  }
}

// --- phases --------------------------------------------------------------------------------------------------------

export class Phases {
  constructor(node, choose) {
    this.part = new Part(node, (rows) => this.build(rows))
    this.choose = choose
  }

  show(view, timeline, filter, now) {
    const rows = phaseFacts(view, timeline, now)
    this.part.show([rows, filter], rows)
  }

  build(rows) {
    const items = rows.map((row) =>
      h('li', null, h('button.phase', { type: 'button', title: row.detail || row.title, onclick: () => this.choose(row.title) },
        h('span.title', null, oneLine(row.title, 40)),
        h('span.numbers', null, row.agents ? `${row.ok}/${row.agents}` : '·'),
        stacked(row.counts, row.agents),
        h('span.detail', null, row.agents ? [row.seconds ? duration(row.seconds) : '', row.tokens ? `${count(row.tokens)} tok` : '', row.usd ? money(row.usd) : ''].filter(Boolean).join(' · ') : 'not begun'))))
    return [h('h2', null, 'Phases'), items.length ? h('ul.phases', null, items) : h('p.calm', null, 'No phases yet.')]
  }
}

function phaseFacts(view, timeline, now) {
  const groups = new Map([...view.phases.values()].map((phase) => [phase.title, { title: phase.title, detail: phase.detail, list: [] }]))
  for (const agent of view.counted()) {
    const title = agent.phase ?? '(no phase)'
    if (!groups.has(title)) groups.set(title, { title, detail: '', list: [] })
    groups.get(title).list.push(agent)
  }
  return [...groups.values()].map(({ title, detail, list }) => {
    const begins = list.map((agent) => agent.startedAt).filter((at) => at !== null)
    const ends = list.map((agent) => (agent.state === 'running' && !view.interrupted ? now : agent.finishedAt ?? agent.lastAt))
    return {
      title, detail, agents: list.length, ok: list.filter((agent) => agent.good).length, counts: tally(list, timeline),
      seconds: begins.length ? Math.max(...ends) - Math.min(...begins) : 0,
      tokens: list.reduce((sum, agent) => sum + agent.usage.output_tokens, 0),
      usd: list.reduce((sum, agent) => (sum === null || agent.usage.usd === null ? null : sum + agent.usage.usd), 0),
    }
  })
}

// --- matrix: one cell an agent -------------------------------------------------------------------------------------

export class Matrix {
  // A click chooses; with Ctrl, Shift or Cmd it marks.
  constructor(node, choose, mark) {
    this.node = node
    this.choose = choose
    this.mark = mark
    this.rows = new Map()
    this.cells = new Map()
    node.setAttribute('aria-label', 'One cell an agent')
  }

  reset() {
    this.rows.clear()
    this.cells.clear()
    this.node.replaceChildren()
  }

  show(view, timeline, { selected, match, marked }) {
    for (const id of this.cells.keys()) if (view.agents.get(id)?.inherited ?? true) return this.reset(), this.show(view, timeline, { selected, match, marked })
    for (const agent of view.own()) {
      const state = stateOf(agent, timeline.doing(agent.id))
      const cell = this.cellOf(agent)
      const dim = !match(agent)
      const key = `${state}|${agent.id === selected}|${dim}|${agent.called}|${marked.has(agent.id)}`
      if (cell.key === key) continue
      cell.key = key
      cell.node.className = `cell state-${state}${agent.id === selected ? ' chosen' : ''}${dim ? ' dim' : ''}${agent.called ? '' : ' past'}${marked.has(agent.id) ? ' marked' : ''}`
      setText(cell.node, SIGNS[state])
      const label = `${agent.id} ${oneLine(agent.label, 80)}: ${STATES[state]}`
      cell.node.title = label
      cell.node.setAttribute('aria-label', label)
    }
    return undefined
  }

  cellOf(agent) {
    const phase = agent.phase ?? '(no phase)'
    let cell = this.cells.get(agent.id)
    if (!cell) {
      cell = { node: h('button.cell', { type: 'button', onclick: (event) => (event.ctrlKey || event.metaKey || event.shiftKey ? this.mark(agent.id) : this.choose(agent.id)) }) }
      this.cells.set(agent.id, cell)
    }
    if (cell.phase !== phase) {
      cell.phase = phase
      this.rowOf(phase).append(cell.node)
    }
    return cell
  }

  rowOf(phase) {
    if (!this.rows.has(phase)) {
      const cells = h('.cells')
      this.node.append(h('section.matrix-row', null, h('h3', null, oneLine(phase, 60)), cells))
      this.rows.set(phase, cells)
    }
    return this.rows.get(phase)
  }
}

// --- table of agents: only the rows in sight exist -----------------------------------------------------------------

const ROW = 30

const COLUMNS = [
  ['state', '', (a) => ORDER.length - ORDER.indexOf(a.state)], ['id', 'Agent', (a) => Number(a.agent.id.slice(1))], ['label', 'Label', (a) => a.agent.label],
  ['phase', 'Phase', (a) => a.agent.phase ?? ''], ['seconds', 'Time', (a) => a.seconds], ['tools', 'Tools', (a) => a.agent.tools],
  ['tokens', 'Tokens', (a) => a.agent.usage.output_tokens], ['usd', 'Cost', (a) => a.agent.usage.usd ?? 0], ['doing', 'Doing', (a) => a.agent.doing],
]

export class Table {
  // `mark(id)` marks an agent, or takes the mark away; without it, rows have no box for it.
  constructor(node, choose, mark = null) {
    this.choose = choose
    this.mark = mark
    this.sort = null
    this.rows = []
    this.body = h('.rows', { role: 'rowgroup', tabindex: '0', 'aria-label': 'Agents' })
    this.spacer = h('.spacer')
    this.body.append(this.spacer)
    this.heads = COLUMNS.map(([name, title, key]) =>
      h('button', { type: 'button', role: 'columnheader', class: `col-${name}`, title: `Sort by ${title || 'state'}`, onclick: () => this.sortBy(name, key) }, title || 'State'))
    node.append(h('.table', { role: 'table', class: mark ? 'can-mark' : '' }, h('.head', { role: 'row' }, mark ? h('span') : null, this.heads), this.body))
    this.body.addEventListener('scroll', () => this.paint())
    new ResizeObserver(() => this.paint()).observe(this.body)
    this.pool = new Map()
  }

  sortBy(name, key) {
    this.sort = this.sort?.name === name ? (this.sort.down ? null : { name, key, down: true }) : { name, key, down: false }
    this.heads.forEach((head, n) => head.setAttribute('aria-sort', COLUMNS[n][0] !== this.sort?.name ? 'none' : this.sort.down ? 'descending' : 'ascending'))
    this.redo?.()
  }

  show(view, timeline, { now, selected, match, marked }) {
    this.redo = () => this.show(view, timeline, { now, selected, match, marked })
    this.selected = selected
    this.marked = marked
    const rows = [...view.counted()].filter(match).map((agent) => ({
      agent, state: stateOf(agent, timeline.doing(agent.id)),
      seconds: agent.state === 'finished' ? agent.seconds : agent.startedAt === null ? 0 : Math.max(0, now - agent.startedAt),
    }))
    if (this.sort) {
      const { key, down } = this.sort
      rows.sort((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0) * (down ? -1 : 1))
    }
    this.rows = rows
    this.spacer.style.setProperty('height', `${rows.length * ROW}px`)
    this.paint()
  }

  paint() {
    const first = Math.max(0, Math.floor(this.body.scrollTop / ROW) - 4)
    const last = Math.min(this.rows.length, first + Math.ceil((this.body.clientHeight || 400) / ROW) + 8)
    const wanted = new Set()
    for (let n = first; n < last; n += 1) {
      const row = this.rows[n]
      wanted.add(row.agent.id)
      this.paintRow(row, n)
    }
    for (const [id, each] of this.pool) {
      if (wanted.has(id)) continue
      each.node.remove()
      this.pool.delete(id)
    }
  }

  paintRow(row, n) {
    const { agent, state } = row
    let each = this.pool.get(agent.id)
    if (!each) {
      const cells = COLUMNS.map(([name]) => h('span', { role: 'cell', class: `col-${name}` }))
      const box = this.mark && h('input', { type: 'checkbox', tabindex: '-1', 'aria-label': `Mark ${agent.id}`, onclick: (event) => event.stopPropagation(), onchange: () => this.mark(agent.id) })
      each = { cells, box, node: h('.row', { role: 'row', onclick: () => this.choose(agent.id) }, box, cells) }
      this.pool.set(agent.id, each)
      this.body.append(each.node)
    }
    each.node.style.setProperty('transform', `translateY(${n * ROW}px)`)
    each.node.classList.toggle('chosen', agent.id === this.selected)
    if (each.box) each.box.checked = this.marked.has(agent.id)
    each.node.setAttribute('aria-rowindex', String(n + 1))
    const fault = agent.fault && !agent.good ? `${agent.fault.name}: ${agent.fault.message}` : agent.doing
    const texts = [SIGNS[state], agent.id, oneLine(agent.label || agent.id, 80), oneLine(agent.phase ?? '', 30), row.seconds ? duration(row.seconds) : '', agent.tools || '',
      agent.usage.output_tokens ? count(agent.usage.output_tokens) : '', agent.usage.usd ? money(agent.usage.usd) : '', oneLine(fault, 140)]
    each.cells.forEach((cell, column) => setText(cell, texts[column]))
    each.cells[0].className = `col-state ink-${state}`
    each.cells[0].title = STATES[state]
  }

  reveal(id) {
    const n = this.rows.findIndex((row) => row.agent.id === id)
    if (n < 0) return
    const top = n * ROW
    if (top < this.body.scrollTop) this.body.scrollTop = top
    else if (top + ROW > this.body.scrollTop + this.body.clientHeight) this.body.scrollTop = top + ROW - this.body.clientHeight
  }
}

// --- log -----------------------------------------------------------------------------------------------------------

const SHOWN_LINES = 1500

export class Log {
  constructor(node) {
    this.node = node
    this.count = 0
    this.first = null
  }

  show(view) {
    const lines = view.log
    if (lines[0] !== this.first || lines.length < this.count) {
      this.node.replaceChildren()
      this.count = 0
      this.first = lines[0]
    }
    if (lines.length === this.count) {
      if (!lines.length && !this.node.children.length) fill(this.node, h('p.calm', null, 'The script has written nothing.'))
      return
    }
    if (!this.count) this.node.replaceChildren()
    const follows = this.node.scrollHeight - this.node.scrollTop - this.node.clientHeight < 40
    const from = Math.max(this.count, lines.length - SHOWN_LINES)
    for (const line of lines.slice(from)) {
      this.node.append(h('.log-line', { class: `level-${line.level} origin-${line.origin}` }, h('time', null, clock(line.at)), h('span', null, line.text)))
    }
    while (this.node.children.length > SHOWN_LINES) this.node.firstChild.remove()
    this.count = lines.length
    if (follows) this.node.scrollTop = this.node.scrollHeight
  }
}

// --- cost: what each number is made of -----------------------------------------------------------------------------

export class Cost {
  constructor(node, choose) {
    this.part = new Part(node, (facts) => this.build(facts))
    this.choose = choose
  }

  show(view) {
    const agents = view.own()
    const facts = {
      phases: grouped(agents, (agent) => agent.phase ?? '(no phase)'),
      models: grouped(agents, (agent) => agent.answeredBy || agent.model),
      agents: agents.map((agent) => ({ name: agent.label || agent.id, id: agent.id, n: agent.attempt, usage: agent.usage })).sort(dearest).slice(0, 25),
      total: view.usage(),
      simulated: view.simulated,
    }
    this.part.show(facts, facts)
  }

  build({ phases, models, agents, total, simulated }) {
    const section = (title, rows, unit, act) => h('section', null, h('h3', null, title), h('table.numbers', null,
      h('thead', null, h('tr', null, ['', unit, 'requests', 'in', 'cached', 'out', 'cost', ''].map((name) => h('th', { scope: 'col' }, name)))),
      h('tbody', null, rows.map((row) => h('tr', null,
        h('th', { scope: 'row' }, act && row.id ? h('button.link', { type: 'button', onclick: () => act(row.id) }, oneLine(row.name, 60)) : oneLine(row.name, 60)),
        [row.n, row.usage.requests, count(row.usage.input_tokens), count(row.usage.cached_input_tokens), count(row.usage.output_tokens), row.usage.usd === null ? 'unknown' : money(row.usage.usd)].map((value) => h('td', null, value)),
        h('td.share', null, bar(total.output_tokens ? row.usage.output_tokens / total.output_tokens : 0, 'share of output tokens')))))))
    return [
      simulated ? h('p.note', null, 'Simulated: no language model answered, and nothing was paid.') : null,
      section('By phase', phases, 'agents'), section('By model', models, 'agents'),
      section('The agents that used most', agents, 'attempt', this.choose),
    ]
  }
}

function dearest(a, b) {
  return (b.usage.usd ?? 0) - (a.usage.usd ?? 0) || b.usage.output_tokens - a.usage.output_tokens
}

function grouped(agents, key) {
  const groups = new Map()
  for (const agent of agents) {
    const name = key(agent)
    if (!groups.has(name)) groups.set(name, { name, n: 0, usage: { requests: 0, input_tokens: 0, cached_input_tokens: 0, output_tokens: 0, usd: 0 } })
    const row = groups.get(name)
    const usage = agent.usage
    row.n += 1
    for (const each of ['requests', 'input_tokens', 'cached_input_tokens', 'output_tokens']) row.usage[each] += usage[each]
    row.usage.usd = row.usage.usd === null || usage.usd === null ? null : row.usage.usd + usage.usd
  }
  return [...groups.values()].sort(dearest)
}

// --- verdicts: claims and those who attacked them ------------------------------------------------------------------

const VOTES = { refuted: ['✗', 'refutes it'], stands: ['✓', 'could not refute it'], dead: ['·', 'died: no vote'], open: ['▶', 'at work'], unknown: ['?', 'said something else'] }

export class Verdicts {
  constructor(node, choose) {
    this.part = new Part(node, (found) => this.build(found))
    this.choose = choose
  }

  show(view) {
    const found = claims(view).map((claim) => ({ text: claim.text, votes: [...claim.votes], disputed: disputed(claim) }))
    found.sort((a, b) => b.disputed - a.disputed)
    this.part.show(found, found)
  }

  build(found) {
    if (!found.length) return h('p.calm', null, 'No claim has been attacked: the script has not called counterpoint.verify.')
    const head = h('tr', null, ['Claim', 'Skeptics', 'Verdict'].map((name) => h('th', { scope: 'col' }, name)))
    return h('table.verdicts', null, h('thead', null, head), h('tbody', null, found.map((claim) => this.row(claim))))
  }

  row({ text, votes, disputed: open }) {
    const cast = votes.filter(([, vote]) => vote === 'refuted' || vote === 'stands')
    const against = cast.filter(([, vote]) => vote === 'refuted').length
    const enough = cast.length > votes.length / 2
    const verdict = !enough ? 'unverified' : against * 2 > cast.length ? 'refuted' : (cast.length - against) * 2 > cast.length ? 'confirmed' : 'unverified'
    const cells = votes.map(([agent, vote]) => h('button.cell', { type: 'button', class: `vote-${vote}`, title: `${agent} ${VOTES[vote][1]}`, 'aria-label': `${agent} ${VOTES[vote][1]}`, onclick: () => this.choose(agent) }, VOTES[vote][0]))
    return h('tr', { class: open ? 'disputed' : '' }, h('td.claim', null, text), h('td', null, h('.cells', null, cells)), h('td', null, h('span.pill', { class: `verdict-${verdict}` }, verdict)))
  }
}
