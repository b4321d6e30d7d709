// A run in three zooms. Everything that is shown is a fold over the run's events up to a point; the point is the newest
// event, or wherever the scrubber stands.

import { Part, append, fill, h, logo, setText } from './dom.js'
import { plural, visible } from './text.js'
import { matcher, phaseFilter } from './filter.js'
import { gateForm } from './form.js'
import { History } from './history.js'
import { AgentPane, RunPane } from './inspector.js'
import { Lanes } from './lanes.js'
import { Attention, Cost, Log, Matrix, Meters, Phases, Table, Verdicts, statusPill } from './panels.js'
import { ScriptPane } from './script.js'
import { PAINT_MS, Scrubber } from './scrubber.js'
import { Steering } from './steering.js'
import { Tree } from './tree.js'

const TABS = [['timeline', 'Timeline'], ['matrix', 'Matrix'], ['agents', 'Agents'], ['script', 'Script'], ['log', 'Log'], ['verdicts', 'Verdicts'], ['cost', 'Cost'], ['tree', 'Tree']]

export class RunPage {
  constructor(root, app, id, link) {
    Object.assign(this, { root, app, source: app.source, id, live: null, linked: true, history: new History(), marked: new Set() })
    this.state = { tab: 'timeline', agent: null, seq: null, filter: '', ...link }
    this.wantsPlay = Boolean(link.play)
    this.proof = link.message === undefined ? null : { agent: link.agent, message: Number(link.message), quote: link.quote ?? '' }
    this.steering = new Steering(app, this)
    this.build(Number(link.play))
    this.readForks()
    this.source.follow(id, {
      take: (events) => (this.history.take(events), this.arrived()),
      live: (live) => ((this.live = live), this.dirty()),
      link: (linked) => ((this.linked = linked), this.dirty()),
    })
    this.ticker = setInterval(() => (this.moving() || this.history.view.interrupted || this.history.view.openGates().length) && this.dirty(), 1000)
  }

  close() {
    this.source.close()
    clearInterval(this.ticker)
    clearTimeout(this.timer)
    this.closed = true
    this.scrubber.pause()
  }

  // --- what is on the page -----------------------------------------------------------------------------------------

  build(speed) {
    const choose = (id) => this.choose(id)
    const mark = (id) => this.mark(id)
    const pane = (name, extra = {}) => h('section.pane', { id: `pane-${name}`, role: 'tabpanel', 'aria-label': name, ...extra })
    this.panes = Object.fromEntries(TABS.map(([name]) => [name, pane(name)]))
    this.title = h('span.crumb-name', null, this.id)
    this.status = new Part(h('span'), (status) => statusPill(status))
    this.flags = new Part(h('span.flags'), (flags) => flags.map((flag) => h('span.flag', null, flag)))
    this.controls = new Part(h('.controls'), (verbs) => verbs.map(([verb, title, text]) =>
      h('button', { type: 'button', class: verb === 'stop' ? 'danger' : verb === 'resume' ? 'primary' : 'quiet', title, onclick: () => this.steering.act(verb) }, text)))
    this.gates = new Part(h('.gates', { 'aria-live': 'polite' }), (gates) => gates.map((gate) => this.buildGate(gate)))
    this.filterInput = h('input.filter', { type: 'search', placeholder: 'Filter: state:failed cost>0.2 …', title: 'state:failed phase:find model:opus line:12 cost>0.2 time>30 "some text"', 'aria-label': 'Filter agents', spellcheck: 'false', value: this.state.filter })
    this.filterInput.addEventListener('input', () => this.setFilter(this.filterInput.value))
    this.tabs = h('.tabs', { role: 'tablist' }, TABS.map(([name, title], n) => h('button', { type: 'button', role: 'tab', 'data-tab': name, title: `${title} (${n + 1})`, onclick: () => this.setTab(name) }, title)))
    const meters = h('.meters')
    const attention = h('section.attention')
    const phases = h('section.phase-list')
    this.side = h('aside.inspector', { 'aria-label': 'Inspector' })
    this.bulk = new Part(h('.bulk-box'), (agents) => this.buildBulk(agents))
    this.scrubber = new Scrubber(this.history, { goTo: (seq) => this.goTo(seq), fork: this.source.canAsk ? () => this.steering.act('fork') : null, dirty: () => this.dirty(), speed })
    fill(this.root,
      h('header.top', null, h('a.brand', { href: '#/', title: 'All runs' }, logo(), h('span', null, 'Counterpoint')), h('span.slash', { 'aria-hidden': 'true' }, '/'), this.title, this.status.node, this.flags.node, h('.spring'), this.controls.node, this.app.themeButton(), this.app.helpButton()),
      meters, this.gates.node,
      h('main.run', null,
        h('aside.left', null, attention, phases),
        h('.centre', null, h('.bar-row', null, this.tabs, h('.spring'), this.filterInput), this.bulk.node, Object.values(this.panes)),
        this.side),
      this.scrubber.node, this.steering.node)
    this.meters = new Meters(meters, (tab, filter) => (filter === undefined ? null : this.setFilter(filter, true), this.setTab(tab)))
    this.attention = new Attention(attention, (need) => this.chooseNeed(need))
    this.phases = new Phases(phases, (title) => this.setFilter(this.state.filter === phaseFilter(title) ? '' : phaseFilter(title), true))
    this.lanes = new Lanes(this.panes.timeline, choose)
    this.matrix = new Matrix(this.panes.matrix, choose, mark)
    this.table = new Table(this.panes.agents, choose, this.source.canAsk ? mark : null)
    this.tree = new Tree(this.panes.tree, choose)
    this.script = new ScriptPane(this.panes.script, (line) => (this.setFilter(`line:${line}`, true), this.setTab('agents')))
    this.logPane = new Log(this.panes.log)
    this.cost = new Cost(this.panes.cost, choose)
    this.verdictPane = new Verdicts(this.panes.verdicts, choose)
    this.agentPane = new AgentPane(h('.side-body'), { load: (id) => this.source.agent(this.id, id), act: (verb, agent) => this.steering.act(verb, [agent]), close: () => this.choose(null), choose, proof: this.proof, memory: this.source.canAsk })
    this.runPane = new RunPane(h('.side-body'), { tags: this.source.canAsk ? () => this.steering.tags() : null, exports: this.source.canAsk ? (form) => `/api/runs/${encodeURIComponent(this.id)}/export/${form}` : null })
    this.setTab(this.state.tab)
    this.source.script(this.id).then(({ source }) => (this.script.load(source), this.dirty())).catch((error) => this.app.problem(error))
  }

  buildGate(gate) {
    const body = h('.gate-body')
    const wait = h('p.asked', null, `asked ${new Date(gate.openedAt * 1000).toLocaleString()}`, gate.deadline ? `, until ${new Date(gate.deadline * 1000).toLocaleTimeString()}` : '')
    append(body, [h('h2', null, h('i', { 'aria-hidden': 'true' }, '!'), ' ', gate.question), wait])
    if (!this.source.canAsk) append(body, [h('p.calm', null, 'Answer with ', h('code', null, `counterpoint approve ${this.id} ${gate.id}`))])
    else if (this.state.seq !== null) append(body, [h('p.calm', null, 'This is the past: go to the newest event (l) to answer.')])
    else append(body, [gateForm(gate, { answer: (value) => this.steering.ask({ verb: 'approve', target: gate.id, answer: value }), deny: () => this.steering.ask({ verb: 'deny', target: gate.id }) })])
    return h('section.gate', { 'data-gate': gate.id, 'aria-label': 'A person is asked' }, body)
  }

  // --- what changes ------------------------------------------------------------------------------------------------

  arrived() {
    if (this.wantsPlay) {
      this.wantsPlay = false
      this.scrubber.toggle()
    }
    this.dirty()
  }

  dirty() {
    if (this.timer || this.closed) return
    const wait = Math.max(0, PAINT_MS - (performance.now() - (this.paintedAt ?? -PAINT_MS)))
    this.timer = setTimeout(() => this.paintNow(), wait)
  }

  paintNow() {
    clearTimeout(this.timer)
    this.timer = 0
    this.paintedAt = performance.now()
    this.paint()
  }

  moving() {
    return this.state.seq === null && this.live && !this.history.view.ended
  }

  // The fold at the point that is shown, and what time it is there.
  shown() {
    const { history, state } = this
    if (state.seq !== null) {
      const past = history.at(state.seq)
      return { view: past.view, timeline: past.timeline, now: past.view.lastAt, cursor: past.view.lastAt }
    }
    history.view.gone = this.live === false
    history.timeline.gone = history.view.interrupted
    const moves = this.live && !history.view.ended
    return { view: history.view, timeline: history.timeline, now: moves ? Math.max(Date.now() / 1000, history.view.lastAt) : history.view.lastAt, cursor: null }
  }

  paint() {
    if (!this.history.events.length || this.closed) return
    const { view, timeline, now, cursor } = this.shown()
    const { state } = this
    if (state.agent && !view.agents.has(state.agent)) this.panes.timeline.dataset.lost = state.agent
    const status = view.shownStatus()
    setText(this.title, view.name)
    document.title = `${this.tally(view)}${visible(view.name)} · Counterpoint`
    this.status.show(status, status)
    this.flags.show([view.simulated, cursor !== null, this.linked, state.seq], [view.simulated ? 'simulated' : null, cursor !== null ? `history: event ${state.seq}` : null, this.linked ? null : 'reconnecting…'].filter(Boolean))
    const verbs = this.steering.verbs(view, status)
    this.controls.show(verbs, verbs)
    const gates = view.openGates()
    this.gates.show([gates.map((gate) => gate.id), state.seq !== null], gates)
    this.meters.show(view, timeline, now)
    this.attention.show(view, now, cursor !== null || this.moving(), this.source.canAsk ? Date.now() / 1000 : null)
    this.phases.show(view, timeline, state.filter, now)
    const match = matcher(state.filter, timeline)
    const how = { now, cursor, selected: state.agent, match, marked: this.marked }
    const marked = this.markedAgents(view)
    this.bulk.show([marked.map((agent) => agent.id), this.canSteer()], marked)
    if (state.tab === 'timeline') this.lanes.show(view, this.history.timeline, how)
    if (state.tab === 'matrix') this.matrix.show(view, timeline, how)
    if (state.tab === 'agents') this.table.show(view, timeline, how)
    if (state.tab === 'tree') this.tree.show(view, timeline, how)
    if (state.tab === 'script') this.script.show(view)
    if (state.tab === 'log') this.logPane.show(view)
    if (state.tab === 'cost') this.cost.show(view)
    if (state.tab === 'verdicts') this.verdictPane.show(view)
    this.paintSide(view, timeline, now)
    this.scrubber.show(state.seq, this.live, view.shownStatus())
    this.steering.show(view)
  }

  tally(view) {
    const gates = view.openGates().length
    return gates ? `(${gates}!) ` : ''
  }

  paintSide(view, timeline, now) {
    const agent = this.state.agent ? view.agents.get(this.state.agent) : null
    this.side.classList.toggle('open', Boolean(agent))
    const pane = agent ? this.agentPane : this.runPane
    if (this.side.firstChild !== pane.node) this.side.replaceChildren(pane.node)
    if (agent) return this.agentPane.show(agent, timeline, now, this.canSteer() ? true : this.source.canAsk && this.state.seq === null ? false : null)
    this.readResult(view)
    return this.runPane.show(view, this.live, view.result ? this.outcome : null, this.forks ?? [])
  }

  // The runs that were forked from this one: only the store knows of them.
  readForks() {
    this.source.document(this.id).then((document) => ((this.forks = document.forks), this.dirty())).catch((error) => this.app.problem(error))
  }

  readResult(view) {
    const key = view.result ? `${view.attempt}` : ''
    if (this.outcomeOf === key) return
    this.outcomeOf = key
    this.outcome = null
    if (!key) return
    if (view.result.json !== undefined) this.outcome = view.result.json
    else this.source.document(this.id).then((document) => ((this.outcome = document.result), this.dirty())).catch((error) => this.app.problem(error))
  }

  // --- moving about ------------------------------------------------------------------------------------------------

  setTab(name) {
    this.state.tab = this.panes[name] ? name : 'timeline'
    for (const [each, node] of Object.entries(this.panes)) node.hidden = each !== this.state.tab
    for (const each of this.tabs.children) each.setAttribute('aria-selected', String(each.dataset.tab === this.state.tab))
    this.remember()
    this.dirty()
  }

  setFilter(text, write = false) {
    this.state.filter = text
    if (write) this.filterInput.value = text
    this.remember()
    this.dirty()
  }

  choose(id) {
    this.state.agent = id && this.history.view.agents.has(id) ? id : null
    this.remember()
    this.dirty()
  }

  chooseNeed(need) {
    if (need.gate) return this.gates.node.querySelector(`[data-gate="${CSS.escape(need.gate)}"]`)?.querySelector('button, input, select, textarea')?.focus()
    if (need.kind === 'conflict') return this.setTab('verdicts')
    if (need.agents.length === 1) return this.choose(need.agents[0])
    if (need.agents.length) {
      const first = this.history.view.agents.get(need.agents[0])
      this.setFilter(`state:${first?.outcome ?? 'running'}${first?.phase ? ` ${phaseFilter(first.phase)}` : ''}`, true)
      return this.setTab('agents')
    }
    return this.choose(null)
  }

  // --- several agents at once --------------------------------------------------------------------------------------

  markedAgents(view) {
    return [...this.marked].map((id) => view.agents.get(id)).filter(Boolean)
  }

  mark(id) {
    if (!this.marked.delete(id)) this.marked.add(id)
    this.dirty()
  }

  // All that the filter keeps; or, where they are marked, none.
  markAll() {
    const { view, timeline } = this.shown()
    const ids = view.counted().filter(matcher(this.state.filter, timeline)).map((agent) => agent.id)
    const all = ids.every((id) => this.marked.has(id))
    this.marked = new Set(all ? [] : ids)
    this.dirty()
  }

  clearMarks() {
    this.marked.clear()
    this.dirty()
  }

  buildBulk(agents) {
    if (!agents.length) return []
    const button = (verb, text, title, kind = 'quiet') => h('button', { type: 'button', class: kind, title, onclick: () => this.steering.act(verb, this.markedAgents(this.history.view)) }, text)
    const live = this.canSteer()
    return h('.bulk', { role: 'toolbar', 'aria-label': 'What is marked' }, h('b', null, plural(agents.length, 'agent'), ' marked'), h('.spring'),
      live ? button('steer', 'Say something', 'One message to each (s)') : null, this.source.canAsk && this.state.seq === null ? button('retry', 'Run again', 'Each anew (r)') : null, live ? button('skip', 'Skip', 'The script gets null for each (x)', 'danger') : null,
      h('button.quiet', { type: 'button', title: 'Mark none (Esc)', onclick: () => this.clearMarks() }, 'Clear'))
  }

  step(by) {
    if (this.timer) this.paintNow()
    const { view, timeline } = this.shown()
    const match = matcher(this.state.filter, timeline)
    const ids = this.state.tab === 'agents' ? this.table.rows.map((row) => row.agent.id) : view.own().filter(match).map((agent) => agent.id)
    if (!ids.length) return
    const at = ids.indexOf(this.state.agent)
    this.choose(ids[Math.max(0, Math.min(ids.length - 1, at < 0 ? 0 : at + by))])
    this.table.reveal(this.state.agent)
  }

  goTo(seq) {
    const total = this.history.events.length
    this.state.seq = seq === null || seq > total ? null : Math.max(1, seq)
    this.remember()
    this.dirty()
  }

  remember() {
    const { tab, agent, seq, filter } = this.state
    const link = new URLSearchParams()
    if (tab !== 'timeline') link.set('tab', tab)
    if (agent) link.set('agent', agent)
    if (seq !== null && !this.scrubber.player) link.set('seq', String(seq))
    if (filter) link.set('filter', filter)
    const hash = `#/run/${encodeURIComponent(this.id)}${link.size ? `?${link}` : ''}`
    if (location.hash !== hash) history.replaceState(null, '', hash)
  }

  canSteer() {
    return this.source.canAsk && Boolean(this.live) && this.state.seq === null
  }

  // --- keys --------------------------------------------------------------------------------------------------------

  key(event) {
    const agent = this.state.agent ? this.history.view.agents.get(this.state.agent) : null
    const live = this.canSteer()
    const marked = this.markedAgents(this.history.view)
    const some = marked.length ? marked : agent ? [agent] : []
    const far = event.shiftKey ? 100 : 1
    const seq = this.state.seq ?? this.history.events.length
    const keys = {
      j: () => this.step(1), k: () => this.step(-1), ArrowDown: () => this.step(1), ArrowUp: () => this.step(-1), g: () => this.step(-1e9), G: () => this.step(1e9),
      Escape: () => (this.state.agent ? this.choose(null) : this.clearMarks()), '/': () => this.filterInput.focus(), ' ': () => this.scrubber.toggle(), l: () => (this.scrubber.pause(), this.goTo(null)), F: () => this.source.canAsk && this.steering.act('fork'),
      m: () => agent && (this.mark(agent.id), this.step(1)), M: () => this.markAll(),
      ArrowLeft: () => (this.scrubber.pause(), this.goTo(seq - far)), ArrowRight: () => (this.scrubber.pause(), this.goTo(seq + far)),
      w: () => this.setTab('timeline'), v: () => this.setTab('verdicts'), $: () => this.setTab('cost'), t: () => this.setTab('log'), T: () => this.setTab('tree'), '+': () => this.lanes.zoom(1 / 1.6), '-': () => this.lanes.zoom(1.6), 0: () => this.lanes.fit(),
      A: () => this.gates.node.querySelector('button, input, select, textarea')?.focus(), D: () => this.gates.node.querySelector('.gate-form .quiet')?.focus(),
      p: () => live && this.steering.act(this.history.view.status === 'paused' ? 'continue' : 'pause'), X: () => live && this.steering.act('stop'), S: () => live && this.steering.act('steer'), b: () => live && this.steering.act('budget'),
      s: () => live && some.length && this.steering.act('steer', some), x: () => live && some.length && this.steering.act('skip', some), r: () => this.source.canAsk && some.length && this.steering.act('retry', some),
      y: () => navigator.clipboard?.writeText(agent?.id ?? this.id),
    }
    TABS.forEach(([name], n) => (keys[n + 1] = () => this.setTab(name)))
    if (!keys[event.key]) return false
    keys[event.key]()
    return true
  }
}
