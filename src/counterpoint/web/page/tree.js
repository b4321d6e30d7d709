// Who called whom: phases, in them nested workflows, in those fan-outs, in those agents. The rules are those of `outline.py`.

import { Part, h } from './dom.js'
import { count, duration, money, oneLine } from './text.js'
import { SIGNS, STATES, stateOf } from './attention.js'
import { ORDER, tally } from './panels.js'

const MOST_OPEN = 500

// Rows with their depth; the rows of an inner level follow the row that they are in.
export function outline(view) {
  const phases = new Map([...view.phases.keys()].map((title) => [title, []]))
  for (const agent of view.counted()) putInto(phases, agent.phase || '(no phase)', agent)
  return [...phases].flatMap(([title, agents]) => outlinePhase(title, agents))
}

function outlinePhase(title, agents) {
  const workflows = new Map()
  for (const agent of agents) putInto(workflows, agent.workflow ?? null, agent)
  const inner = [...workflows].flatMap(([name, called]) =>
    (name === null ? outlineFans(called, 1) : [{ depth: 1, kind: 'workflow', title: name, agents: called, line: null }, ...outlineFans(called, 2)]))
  return [{ depth: 0, kind: 'phase', title, agents, line: null }, ...inner]
}

function outlineFans(agents, depth) {
  const lines = new Map()
  for (const agent of agents) putInto(lines, agent.line, agent)
  return [...lines].flatMap(([line, called]) => {
    const many = called.length > 1
    const title = many ? stemOf(called.map((agent) => agent.label || agent.id)) || (line ? `line ${line}` : 'agents') : ''
    const inner = called.map((agent) => ({ depth: depth + many, kind: 'agent', title: agent.label || agent.id, agents: [agent], line }))
    return many ? [{ depth, kind: 'fan', title, agents: called, line }, ...inner] : inner
  })
}

function putInto(groups, key, agent) {
  if (!groups.has(key)) groups.set(key, [])
  groups.get(key).push(agent)
}

// What the labels begin with in common, in whole words: "find 1" and "find 12" are "find".
function stemOf(labels) {
  const all = labels.map((label) => [...label])
  let shared = all[0].length
  for (const label of all) {
    let n = 0
    while (n < shared && n < label.length && label[n] === all[0][n]) n += 1
    shared = n
  }
  let head = all[0].slice(0, shared).join('')
  if (all.some((label) => /^\p{L}/u.test(label[shared] ?? ''))) head = head.replace(/\p{L}+$/u, '')
  return head.replace(/\P{L}+$/u, '')
}

export class Tree {
  constructor(node, choose) {
    this.part = new Part(node, (rows, timeline, how) => rows.map((row) => this.row(row, timeline, how)))
    Object.assign(this, { choose, open: new Set(), selected: null })
  }

  show(view, timeline, how) {
    this.redo = () => this.show(view, timeline, how)
    const rows = this.inSight(outline(view), how.selected)
    const facts = rows.map((row) => [row.key, row.open, row.agents.map((agent) => [stateOf(agent, timeline.doing(agent.id)), agent.usage.output_tokens])])
    this.part.show([facts, how.selected, how.marked.size, rows.map((row) => row.kind === 'agent' && how.match(row.agents[0])), Math.round(how.now)], rows, timeline, how)
  }

  // Fan-outs are one row each, but for those that are open; that of an agent is opened when it is chosen.
  inSight(rows, selected) {
    const reveals = selected !== this.selected
    this.selected = selected
    const found = []
    const path = []
    let closed = Infinity
    let left = MOST_OPEN
    for (const row of rows) {
      path.length = row.depth
      path.push(`${row.kind} ${row.title} ${row.line}`)
      if (row.depth > closed) continue
      closed = Infinity
      row.key = path.join('\n')
      if (row.kind === 'fan') {
        if (reveals && row.agents.some((agent) => agent.id === selected)) this.open.add(row.key)
        row.open = this.open.has(row.key)
        if (!row.open) closed = row.depth
      }
      if (row.kind === 'agent' && (left -= 1) < 0) continue
      found.push(row)
    }
    return found
  }

  row(row, timeline, { now, selected, match, marked }) {
    const { kind, title, agents, depth } = row
    const level = { role: 'treeitem', 'aria-level': String(depth + 1), style: { 'padding-left': `${14 + 20 * depth}px` } }
    const tokens = agents.reduce((sum, agent) => sum + agent.usage.output_tokens, 0)
    if (kind === 'agent') {
      const [agent] = agents
      const state = stateOf(agent, timeline.doing(agent.id))
      const seconds = agent.state === 'finished' ? agent.seconds : agent.startedAt === null ? 0 : Math.max(0, now - agent.startedAt)
      const looks = `${agent.id === selected ? ' chosen' : ''}${match(agent) ? '' : ' dim'}${marked.has(agent.id) ? ' marked' : ''}`
      return h('button.branch.agent', { type: 'button', ...level, class: looks, title: STATES[state], onclick: () => this.choose(agent.id) },
        h('i', { class: `ink-${state}`, 'aria-hidden': 'true' }, SIGNS[state]), h('span.title', null, oneLine(title, 120)), h('span.visually-hidden', null, ` ${STATES[state]}`),
        h('span.detail', null, [seconds ? duration(seconds) : '', tokens ? `${count(tokens)} tok` : '', agent.usage.usd ? money(agent.usage.usd) : ''].filter(Boolean).join(' · ')))
    }
    const counts = tally(agents, timeline)
    const states = ORDER.filter((state) => counts[state]).map((state) => h('span', { class: `ink-${state}`, title: STATES[state] }, SIGNS[state], counts[state], h('span.visually-hidden', null, ` ${STATES[state]}`)))
    const name = kind === 'workflow' ? `workflow ${oneLine(title, 80)}` : oneLine(title, 80)
    const text = [h('span.title', null, name), kind === 'fan' ? h('span.times', null, `×${agents.length}`) : null, h('span.states', null, states),
      h('span.detail', null, !agents.length ? 'not begun' : [`${count(tokens)} tok`, kind === 'fan' && row.line && title !== `line ${row.line}` ? `line ${row.line}` : ''].filter(Boolean).join(' · '))]
    if (kind !== 'fan') return h('.branch', { ...level, class: kind }, text)
    return h('button.branch.fan', { type: 'button', ...level, 'aria-expanded': String(row.open), onclick: () => this.toggle(row) }, h('i', { 'aria-hidden': 'true' }, row.open ? '−' : '+'), text)
  }

  toggle(row) {
    if (!this.open.delete(row.key)) this.open.add(row.key)
    this.redo()
  }
}
