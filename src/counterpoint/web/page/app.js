// The page: a list of runs, and a run in three zooms. Everything that is shown is a fold over the run's events up to a
// point; the point is the newest event, or wherever the scrubber stands.

import { Part, append, fill, h, logo, setText } from './dom.js'
import { count, duration, money, oneLine, plural, visible } from './text.js'
import { RunView } from './fold.js'
import { Timeline } from './timeline.js'
import { needs, stateOf } from './attention.js'
import { FileSource, ServerSource } from './source.js'
import { gateForm } from './form.js'
import { Lanes } from './lanes.js'
import { ScriptPane } from './script.js'
import { Attention, Cost, Log, Matrix, Meters, Phases, Runs, Table, Verdicts, statusPill } from './panels.js'
import { AgentPane, RunPane } from './inspector.js'

const PAINT_MS = 100 // ten repaints a second, at most
const GAP_S = 5 // replay passes over longer silence
const TABS = [['timeline', 'Timeline'], ['matrix', 'Matrix'], ['agents', 'Agents'], ['script', 'Script'], ['log', 'Log'], ['verdicts', 'Verdicts'], ['cost', 'Cost']]
const SPEEDS = [1, 5, 20, 100]
const RUNS_MS = 2000
const STALE_SESSION = 'Your session is over. Open the address that `counterpoint serve` shows in its terminal.'

// A fold that can be taken to any point.
class History {
  constructor() {
    this.events = []
    this.axis = []
    this.past = null
    this.clear()
  }

  clear() {
    this.view = new RunView()
    this.timeline = new Timeline()
  }

  take(events) {
    for (const event of events) {
      const last = this.events.at(-1)
      this.axis.push(last ? this.axis.at(-1) + Math.min(GAP_S, Math.max(0, event.at - last.at)) : 0)
      this.events.push(event)
      this.view.apply(event)
      this.timeline.apply(event)
    }
  }

  at(seq) {
    if (!this.past || this.past.view.lastSeq > seq) this.past = { view: new RunView(), timeline: new Timeline() }
    for (let n = this.past.view.lastSeq; n < seq && n < this.events.length; n += 1) {
      this.past.view.apply(this.events[n])
      this.past.timeline.apply(this.events[n])
    }
    return this.past
  }

  get length() {
    return this.axis.at(-1) ?? 0
  }

  // The number of the last event at this place of the scrubber.
  seqAt(place) {
    let low = 0
    let high = this.axis.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.axis[middle] <= place) low = middle + 1
      else high = middle
    }
    return Math.max(1, low)
  }
}

class RunPage {
  constructor(root, app, id, link) {
    Object.assign(this, { root, app, source: app.source, id, live: null, linked: true, history: new History(), toasts: [] })
    this.state = { tab: 'timeline', agent: null, seq: null, filter: '', ...link }
    this.speed = SPEEDS.includes(Number(link.play)) ? Number(link.play) : 20
    this.wantsPlay = Boolean(link.play)
    this.build()
    this.source.follow(id, {
      take: (events) => (this.history.take(events), this.arrived()),
      live: (live) => ((this.live = live), this.dirty()),
      link: (linked) => ((this.linked = linked), this.dirty()),
    })
    this.ticker = setInterval(() => this.moving() && this.dirty(), 1000)
  }

  close() {
    this.source.close()
    clearInterval(this.ticker)
    clearInterval(this.player)
    clearTimeout(this.timer)
    this.closed = true
  }

  // --- what is on the page -----------------------------------------------------------------------------------------

  build() {
    const choose = (id) => this.choose(id)
    const pane = (name, extra = {}) => h('section.pane', { id: `pane-${name}`, role: 'tabpanel', 'aria-label': name, ...extra })
    this.panes = Object.fromEntries(TABS.map(([name]) => [name, pane(name)]))
    this.title = h('span.crumb-name', null, this.id)
    this.status = new Part(h('span'), (status) => statusPill(status))
    this.flags = new Part(h('span.flags'), (flags) => flags.map((flag) => h('span.flag', null, flag)))
    this.controls = new Part(h('.controls'), (verbs) => verbs.map(([verb, title, text]) =>
      h('button', { type: 'button', class: verb === 'stop' ? 'danger' : verb === 'resume' ? 'primary' : 'quiet', title, onclick: () => this.act(verb) }, text)))
    this.gates = new Part(h('.gates', { 'aria-live': 'polite' }), (gates) => gates.map((gate) => this.buildGate(gate)))
    this.filterInput = h('input.filter', { type: 'search', placeholder: 'Filter: state:failed cost>0.2 …', title: 'state:failed phase:find model:opus line:12 cost>0.2 time>30 "some text"', 'aria-label': 'Filter agents', spellcheck: 'false', value: this.state.filter })
    this.filterInput.addEventListener('input', () => this.setFilter(this.filterInput.value))
    this.tabs = h('.tabs', { role: 'tablist' }, TABS.map(([name, title], n) => h('button', { type: 'button', role: 'tab', 'data-tab': name, title: `${title} (${n + 1})`, onclick: () => this.setTab(name) }, title)))
    const meters = h('.meters')
    const attention = h('section.attention')
    const phases = h('section.phase-list')
    this.side = h('aside.inspector', { 'aria-label': 'Inspector' })
    this.toastBox = h('.toasts', { role: 'status', 'aria-live': 'polite' })
    fill(this.root,
      h('header.top', null, h('a.brand', { href: '#/', title: 'All runs' }, logo(), h('span', null, 'Counterpoint')), h('span.slash', { 'aria-hidden': 'true' }, '/'), this.title, this.status.node, this.flags.node, h('.spring'), this.controls.node, this.app.themeButton(), this.app.helpButton()),
      meters, this.gates.node,
      h('main.run', null,
        h('aside.left', null, attention, phases),
        h('.centre', null, h('.bar-row', null, this.tabs, h('.spring'), this.filterInput), Object.values(this.panes)),
        this.side),
      this.buildScrubber(), this.toastBox)
    this.meters = new Meters(meters, (tab, filter) => (filter === undefined ? null : this.setFilter(filter, true), this.setTab(tab)))
    this.attention = new Attention(attention, (need) => this.chooseNeed(need))
    this.phases = new Phases(phases, (title) => this.setFilter(this.state.filter === phaseFilter(title) ? '' : phaseFilter(title), true))
    this.lanes = new Lanes(this.panes.timeline, choose)
    this.matrix = new Matrix(this.panes.matrix, choose)
    this.table = new Table(this.panes.agents, choose)
    this.script = new ScriptPane(this.panes.script, (line) => (this.setFilter(`line:${line}`, true), this.setTab('agents')))
    this.logPane = new Log(this.panes.log)
    this.cost = new Cost(this.panes.cost, choose)
    this.verdictPane = new Verdicts(this.panes.verdicts, choose)
    this.agentPane = new AgentPane(h('.side-body'), { load: (id) => this.source.agent(this.id, id), act: (verb, agent) => this.act(verb, agent), close: () => this.choose(null), choose })
    this.runPane = new RunPane(h('.side-body'), { act: (verb) => this.act(verb), exports: this.source.canAsk ? (form) => `/api/runs/${encodeURIComponent(this.id)}/export/${form}` : null })
    this.setTab(this.state.tab)
    this.source.script(this.id).then(({ source }) => (this.script.load(source), this.dirty())).catch((error) => this.app.problem(error))
  }

  buildGate(gate) {
    const body = h('.gate-body')
    const wait = h('p.asked', null, `asked ${duration(Math.max(0, Date.now() / 1000 - gate.openedAt))} ago`, gate.deadline ? `, until ${new Date(gate.deadline * 1000).toLocaleTimeString()}` : '')
    append(body, [h('h2', null, h('i', { 'aria-hidden': 'true' }, '!'), ' ', gate.question), wait])
    if (!this.source.canAsk) append(body, [h('p.calm', null, 'Answer with ', h('code', null, `counterpoint approve ${this.id} ${gate.id}`))])
    else if (this.state.seq !== null) append(body, [h('p.calm', null, 'This is the past: go to the newest event (l) to answer.')])
    else append(body, [gateForm(gate, { answer: (value) => this.ask({ verb: 'approve', target: gate.id, answer: value }), deny: () => this.ask({ verb: 'deny', target: gate.id }) })])
    return h('section.gate', { 'data-gate': gate.id, 'aria-label': 'A person is asked' }, body)
  }

  buildScrubber() {
    this.slider = h('input', { type: 'range', min: '0', max: '10000', value: '10000', 'aria-label': 'Place in the history of the run' })
    this.slider.addEventListener('input', () => {
      this.pausePlay()
      const place = (Number(this.slider.value) / 10000) * this.history.length
      this.goTo(Number(this.slider.value) >= 10000 ? null : this.history.seqAt(place))
    })
    this.density = h('canvas', { 'aria-hidden': 'true' })
    this.playButton = h('button.icon', { type: 'button', title: 'Play the history (Space)', 'aria-label': 'Play', onclick: () => this.togglePlay() }, '▶')
    this.speedButton = h('button.quiet', { type: 'button', title: 'Speed of the replay', onclick: () => ((this.speed = SPEEDS[(SPEEDS.indexOf(this.speed) + 1) % SPEEDS.length]), this.dirty()) })
    this.liveButton = h('button.quiet', { type: 'button', title: 'Go to the newest event (l)', onclick: () => (this.pausePlay(), this.goTo(null)) })
    this.place = h('span.place')
    return h('footer.scrubber', null, this.playButton, this.speedButton, h('.track', null, this.density, this.slider), this.place, this.liveButton)
  }

  // --- what changes ------------------------------------------------------------------------------------------------

  arrived() {
    if (this.wantsPlay) {
      this.wantsPlay = false
      this.goTo(1)
      this.togglePlay()
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
    const verbs = this.verbs(view, status)
    this.controls.show(verbs, verbs)
    const gates = view.openGates()
    this.gates.show([gates.map((gate) => gate.id), state.seq !== null], gates)
    this.meters.show(view, timeline, now)
    this.attention.show(view, now)
    this.phases.show(view, timeline, state.filter)
    const match = matcher(state.filter, timeline)
    const how = { now, cursor, selected: state.agent, match }
    if (state.tab === 'timeline') this.lanes.show(view, this.history.timeline, how)
    if (state.tab === 'matrix') this.matrix.show(view, timeline, how)
    if (state.tab === 'agents') this.table.show(view, timeline, how)
    if (state.tab === 'script') this.script.show(view)
    if (state.tab === 'log') this.logPane.show(view)
    if (state.tab === 'cost') this.cost.show(view)
    if (state.tab === 'verdicts') this.verdictPane.show(view)
    this.paintSide(view, timeline, now)
    this.paintScrubber(view)
    this.paintToasts(view)
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
    return this.runPane.show(view, this.live, view.result ? this.outcome : null)
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

  paintScrubber(view) {
    const { history, state } = this
    const total = history.events.length
    const place = state.seq === null ? 10000 : Math.round((10000 * history.axis[Math.min(state.seq, total) - 1]) / (history.length || 1))
    if (document.activeElement !== this.slider || this.player || state.seq === null) this.slider.value = String(place)
    setText(this.place, `${(state.seq ?? total).toLocaleString('en')} / ${total.toLocaleString('en')}`)
    setText(this.playButton, this.player ? '‖' : '▶')
    setText(this.speedButton, `×${this.speed}`)
    setText(this.liveButton, this.live ? '● live' : '⇥ end')
    this.liveButton.classList.toggle('on', state.seq === null && Boolean(this.live))
    this.paintDensity(total)
    this.slider.setAttribute('aria-valuetext', `event ${state.seq ?? total} of ${total}, ${view.shownStatus()}`)
  }

  // How much happened when, behind the slider; what went wrong stands out.
  paintDensity(total) {
    const width = this.density.clientWidth
    const height = this.density.clientHeight
    const key = `${total}|${width}|${document.documentElement.dataset.theme}`
    if (!width || key === this.densityKey) return
    this.densityKey = key
    const bins = new Float32Array(Math.ceil(width / 4))
    const bad = new Uint8Array(bins.length)
    this.history.events.forEach((event, n) => {
      const bin = Math.min(bins.length - 1, Math.floor((this.history.axis[n] / (this.history.length || 1)) * bins.length))
      bins[bin] += 1
      if (event.type === 'script_error' || (event.type === 'agent_finished' && event.outcome !== 'ok')) bad[bin] = 1
    })
    const most = Math.max(...bins, 1)
    const scale = window.devicePixelRatio || 1
    this.density.width = width * scale
    this.density.height = height * scale
    const ink = this.density.getContext('2d')
    ink.scale(scale, scale)
    const style = getComputedStyle(this.density)
    const [plain, red] = ['--line-strong', '--bad'].map((name) => style.getPropertyValue(name).trim())
    bins.forEach((n, bin) => {
      if (!n) return
      const tall = Math.max(2, (Math.log1p(n) / Math.log1p(most)) * height)
      ink.fillStyle = bad[bin] ? red : plain
      ink.fillRect(bin * 4, height - tall, 3, tall)
    })
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

  step(by) {
    if (this.timer) this.paintNow()
    const { view, timeline } = this.shown()
    const match = matcher(this.state.filter, timeline)
    const ids = this.state.tab === 'agents' ? this.table.rows.map((row) => row.agent.id) : [...view.agents.values()].filter(match).map((agent) => agent.id)
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

  togglePlay() {
    if (this.player) return this.pausePlay()
    const { history } = this
    if (this.state.seq === null) this.state.seq = 1
    let place = history.axis[this.state.seq - 1] ?? 0
    let last = performance.now()
    this.player = setInterval(() => {
      const now = performance.now()
      place += ((now - last) / 1000) * this.speed
      last = now
      if (place >= history.length) return this.pausePlay(), this.goTo(null)
      return this.goTo(history.seqAt(place))
    }, PAINT_MS)
    return this.dirty()
  }

  pausePlay() {
    clearInterval(this.player)
    this.player = 0
    this.dirty()
  }

  remember() {
    const { tab, agent, seq, filter } = this.state
    const link = new URLSearchParams()
    if (tab !== 'timeline') link.set('tab', tab)
    if (agent) link.set('agent', agent)
    if (seq !== null && !this.player) link.set('seq', String(seq))
    if (filter) link.set('filter', filter)
    const hash = `#/run/${encodeURIComponent(this.id)}${link.size ? `?${link}` : ''}`
    if (location.hash !== hash) history.replaceState(null, '', hash)
  }

  // --- asking ------------------------------------------------------------------------------------------------------

  canSteer() {
    return this.source.canAsk && Boolean(this.live) && this.state.seq === null
  }

  verbs(view, status) {
    if (!this.source.canAsk || this.state.seq !== null) return []
    if (this.live && !view.ended) {
      return [status === 'paused' ? ['continue', 'Go on (p)', 'Continue'] : ['pause', 'Start no more agents (p)', 'Pause'], ['steer', 'Say something to all agents (S)', 'Steer all'], ['budget', 'Change the ceilings (b)', 'Budget'], ['stop', 'End the run (X)', 'Stop']]
    }
    return this.live === false && status !== 'completed' ? [['resume', 'Go on with what is left', 'Resume']] : []
  }

  act(verb, agent = null) {
    const { view } = this.history
    const who = agent ? oneLine(agent.label || agent.id, 60) : 'every agent'
    switch (verb) {
      case 'continue':
        return this.ask({ verb })
      case 'pause':
        return this.app.dialog('Pause the run', [h('p', null, 'No more agents start; those under way finish. The process stays, and Continue goes on.')], 'Pause', () => this.ask({ verb, stay: true }))
      case 'stop':
        return this.stop(view)
      case 'skip':
        return this.app.dialog(`Skip ${who}`, [h('p', null, 'It ends now, and the script gets null for it. What it has used so far stays spent.')], 'Skip it', () => this.ask({ verb, target: agent.id }), true)
      case 'retry':
        return this.retry(agent, who)
      case 'steer':
        return this.steer(agent, who)
      case 'budget':
        return this.budget(view)
      default:
        return this.app.try(this.source.resume(this.id).then(() => this.toast('Resuming…')))
    }
  }

  stop(view) {
    const agents = [...view.agents.values()]
    const running = agents.filter((agent) => agent.state === 'running').length
    const queued = agents.filter((agent) => agent.state === 'queued').length
    const kept = agents.filter((agent) => agent.good).length
    const drain = h('input', { type: 'checkbox' })
    return this.app.dialog('Stop the run', [h('p', null, `${plural(running, 'agent')} under way ${running === 1 ? 'is' : 'are'} cancelled, ${queued} in the queue never start. ${plural(kept, 'result')} stay in the journal; a resume asks none of them again.`),
      h('label.field.check', null, drain, h('span', null, 'Let the agents under way finish'))], 'Stop', () => this.ask({ verb: 'stop', drain: drain.checked }), true)
  }

  async retry(agent, who) {
    const asked = String((await this.source.agent(this.id, agent.id).catch(() => null))?.prompt ?? '')
    const prompt = h('textarea', { rows: '5', value: asked })
    const model = h('input', { placeholder: agent.model, spellcheck: 'false' })
    const told = this.live ? 'It starts anew; what it has said so far is dropped.' : 'A process goes on with the run: this agent runs again, and whatever depends on its answer.'
    const field = (name, input) => h('label.field', null, h('span.name', null, name), input)
    return this.app.dialog(`Run ${who} again`, [h('p', null, told), field('Prompt', prompt), field('Model', model)], 'Run again', () => {
      const changes = { ...(prompt.value === asked ? {} : { prompt: prompt.value }), ...(model.value.trim() ? { model: model.value.trim() } : {}) }
      return this.ask({ verb: 'retry', target: agent.id, ...changes })
    })
  }

  steer(agent, who) {
    const text = h('textarea', { rows: '4', required: true, maxlength: '20000', placeholder: 'Look at the tests first …' })
    return this.app.dialog(`Say something to ${who}`, [h('p.calm', null, 'It is heard at the next tool boundary. The receipt says when.'), text], 'Send', () => this.ask({ verb: 'steer', target: agent?.id ?? null, text: text.value }))
  }

  budget(view) {
    const usage = view.usage()
    const tokens = h('input', { placeholder: '500k', spellcheck: 'false', value: view.bounds.budget_tokens ?? '' })
    const usd = h('input', { type: 'number', min: '0', step: 'any', value: view.bounds.budget_usd ?? '' })
    const slots = h('input', { type: 'number', min: '1', max: '1000', step: '1', value: view.bounds.concurrency ?? '' })
    const field = (name, input, hint) => h('label.field', null, h('span.name', null, name), h('span.hint', null, hint), input)
    return this.app.dialog('Ceilings of the run', [field('Output tokens', tokens, `${count(usage.output_tokens)} are spent`), field('Dollars', usd, `${money(usage.usd)} spent`), field('Agents at work at once', slots, 'slots')], 'Change', () => {
      const body = { verb: 'budget' }
      const budgets = []
      if (tokens.value.trim() && tokens.value !== String(view.bounds.budget_tokens)) budgets.push(tokens.value.trim())
      if (usd.value && Number(usd.value) !== view.bounds.budget_usd) budgets.push(`$${usd.value}`)
      if (budgets.length) body.budgets = budgets
      if (slots.value && Number(slots.value) !== view.bounds.concurrency) body.concurrency = Number(slots.value)
      return this.ask(body)
    })
  }

  ask(verb) {
    return this.app.try(this.source.ask(this.id, verb).then((given) => {
      const what = `${verb.verb}${verb.target ? ` ${verb.target}` : ''}`
      if (given.request !== null) this.toasts.push({ what, request: given.request, born: performance.now() })
      else this.toast(given.recorded ? `${what}: recorded. Resume goes on with it.` : `${what}: started`)
      this.dirty()
    }))
  }

  toast(text) {
    this.toasts.push({ what: text, request: null, born: performance.now() })
    this.dirty()
  }

  paintToasts(view) {
    const now = performance.now()
    const rows = this.toasts.map((toast) => {
      const receipt = toast.request === null ? null : view.requests.get(toast.request)
      const state = toast.request === null ? '' : !receipt ? 'asked' : receipt.done_at === null ? 'delivered' : receipt.ok ? 'done' : 'refused'
      if ((toast.request === null || receipt?.done_at) && !toast.ends) toast.ends = now + 8000
      return { ...toast, state, message: receipt?.message ?? '' }
    })
    this.toasts = this.toasts.filter((toast) => !toast.ends || toast.ends > now)
    fill(this.toastBox, rows.map((row) => h('.toast', { class: `receipt-${row.state}` }, h('b', null, oneLine(row.what, 80)), row.state ? h('span', null, row.state) : null, row.message ? h('small', null, oneLine(row.message, 160)) : null)))
    if (this.toasts.length) setTimeout(() => this.dirty(), 500)
  }

  // --- keys --------------------------------------------------------------------------------------------------------

  key(event) {
    const agent = this.state.agent ? this.history.view.agents.get(this.state.agent) : null
    const live = this.canSteer()
    const far = event.shiftKey ? 100 : 1
    const seq = this.state.seq ?? this.history.events.length
    const keys = {
      j: () => this.step(1), k: () => this.step(-1), ArrowDown: () => this.step(1), ArrowUp: () => this.step(-1), g: () => this.step(-1e9), G: () => this.step(1e9),
      Escape: () => this.choose(null), '/': () => this.filterInput.focus(), ' ': () => this.togglePlay(), l: () => (this.pausePlay(), this.goTo(null)),
      ArrowLeft: () => (this.pausePlay(), this.goTo(seq - far)), ArrowRight: () => (this.pausePlay(), this.goTo(seq + far)),
      w: () => this.setTab('timeline'), v: () => this.setTab('verdicts'), $: () => this.setTab('cost'), t: () => this.setTab('log'), '+': () => this.lanes.zoom(1 / 1.6), '-': () => this.lanes.zoom(1.6), 0: () => this.lanes.fit(),
      A: () => this.gates.node.querySelector('button, input, select, textarea')?.focus(), D: () => this.gates.node.querySelector('.gate-form .quiet')?.focus(),
      p: () => live && this.act(this.history.view.status === 'paused' ? 'continue' : 'pause'), X: () => live && this.act('stop'), S: () => live && this.act('steer'), b: () => live && this.act('budget'),
      s: () => live && agent && this.act('steer', agent), x: () => live && agent && this.act('skip', agent), r: () => this.source.canAsk && agent && this.act('retry', agent),
      y: () => navigator.clipboard?.writeText(agent?.id ?? this.id),
    }
    TABS.forEach(([name], n) => (keys[n + 1] = () => this.setTab(name)))
    if (!keys[event.key]) return false
    keys[event.key]()
    return true
  }
}

function phaseFilter(title) {
  return /\s/.test(title) ? `phase:"${title}"` : `phase:${title}`
}

// What a filter means: `state:failed phase:find cost>0.2 time>30 line:12 "some text"`; all of it must hold.
export function matcher(text, timeline) {
  const tests = [...text.matchAll(/(?:(\w+)([:<>]))?(?:"([^"]*)"|(\S+))/g)].map(([, key, sign, quoted, plain]) => test(key, sign, (quoted ?? plain).toLowerCase(), timeline))
  return (agent) => tests.every((each) => each(agent))
}

function test(key, sign, wanted, timeline) {
  const holds = (value) => String(value ?? '').toLowerCase().includes(wanted)
  const measures = { cost: (a) => a.usage.usd ?? 0, time: (a) => a.seconds, tokens: (a) => a.usage.output_tokens, turns: (a) => a.turns, tools: (a) => a.tools }
  if (sign === '<' || sign === '>') {
    const measure = measures[key] ?? (() => NaN)
    return (agent) => (sign === '>' ? measure(agent) > Number(wanted) : measure(agent) < Number(wanted))
  }
  switch (key) {
    case 'state':
      return (agent) => wanted === (stateOf(agent, timeline.doing(agent.id))) || wanted === agent.state || (wanted === 'bad' && agent.outcome !== null && !agent.good)
    case 'phase':
      return (agent) => holds(agent.phase ?? '(no phase)')
    case 'model':
      return (agent) => holds(agent.answeredBy || agent.model)
    case 'line':
      return (agent) => agent.line === Number(wanted)
    default:
      return (agent) => holds(agent.label) || agent.id === wanted || holds(agent.doing) || holds(agent.fault?.message)
  }
}

class RunsPage {
  constructor(root, app) {
    this.app = app
    const list = h('main.list')
    fill(root, h('header.top', null, h('a.brand', { href: '#/' }, logo(), h('span', null, 'Counterpoint')), h('.spring'), app.themeButton(), app.helpButton()), list)
    this.runs = new Runs(list)
    document.title = 'Counterpoint'
    this.load()
  }

  load() {
    this.app.source.runs().then((runs) => this.closed || this.runs.show(runs)).catch((error) => this.app.problem(error))
      .finally(() => (this.timer = this.closed ? 0 : setTimeout(() => this.load(), RUNS_MS)))
  }

  close() {
    this.closed = true
    clearTimeout(this.timer)
  }

  key() {
    return false
  }
}

const KEYS = [
  ['j k ↓ ↑', 'next, previous agent'], ['Esc', 'back to the run'], ['1 … 7', 'timeline, matrix, agents, script, log, verdicts, cost'], ['/', 'filter: state:failed phase:find cost>0.2 text'],
  ['← →', 'one event back, forth (Shift: 100)'], ['Space', 'play the history'], ['l', 'newest event'], ['+ − 0', 'zoom the timeline'], ['Shift + drag', 'zoom to a stretch'],
  ['s S', 'steer the agent, all agents'], ['r', 'run the agent again'], ['x', 'skip the agent'], ['p', 'pause, continue'], ['X', 'stop the run'], ['b', 'change the ceilings'], ['A D', 'go to the question: answer, deny'], ['y', 'copy the id'],
]

class App {
  constructor(root, source) {
    this.root = root
    this.source = source
    this.page = null
    this.banner = h('.problem', { role: 'alert', hidden: true })
    document.body.append(this.banner)
    this.setTheme(stored('theme') ?? 'auto')
    window.addEventListener('hashchange', () => this.open())
    window.addEventListener('keydown', (event) => this.key(event))
    this.open()
  }

  open() {
    const [path, query = ''] = location.hash.replace(/^#/, '').split('?')
    const [, kind, id] = path.split('/')
    this.page?.close()
    this.banner.hidden = true
    if (kind !== 'run' || !id) return (this.page = new RunsPage(this.root, this))
    const link = Object.fromEntries(new URLSearchParams(query))
    const seq = Number.parseInt(link.seq, 10)
    return (this.page = new RunPage(this.root, this, decodeURIComponent(id), { ...link, seq: Number.isFinite(seq) ? seq : null }))
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return
    const target = event.target
    if (target instanceof HTMLElement && target.matches('input, textarea, select')) {
      if (event.key === 'Escape' || (target.type === 'range' && event.key === ' ')) target.blur()
      else return
    }
    if (event.key === ' ' && target instanceof HTMLElement && target.matches('button, a, summary')) return
    if (event.key === '?') this.help()
    else if (!this.page?.key(event)) return
    event.preventDefault()
  }

  try(promise) {
    return promise.catch((error) => this.problem(error))
  }

  problem(error) {
    if (this.closed) return
    const text = error.status === 401 ? STALE_SESSION : error.message + (error.hint ? ` ${error.hint}` : '')
    fill(this.banner, h('span', null, text), h('button.icon', { type: 'button', 'aria-label': 'Close', onclick: () => (this.banner.hidden = true) }, '×'))
    this.banner.hidden = false
  }

  dialog(title, body, verb, act, dangerous = false) {
    const close = () => (box.close(), box.remove())
    const send = (event) => {
      event.preventDefault()
      close()
      act()
    }
    const box = h('dialog', { 'aria-label': title, onclose: () => box.remove() }, h('form', { onsubmit: send }, h('h2', null, title), body,
      h('.buttons', null, h('button', { type: 'submit', class: dangerous ? 'danger' : 'primary' }, verb), h('button.quiet', { type: 'button', onclick: close }, 'Cancel'))))
    document.body.append(box)
    box.showModal()
  }

  help() {
    this.dialog('Keys', [h('table.pairs.keys', null, h('tbody', null, KEYS.map(([key, what]) => h('tr', null, h('th', { scope: 'row' }, h('kbd', null, key)), h('td', null, what)))))], 'Good', () => null)
  }

  helpButton() {
    return h('button.icon', { type: 'button', title: 'Keys (?)', 'aria-label': 'Help', onclick: () => this.help() }, '?')
  }

  themeButton() {
    return h('button.icon', { type: 'button', title: 'Dark, light, or as the system has it', 'aria-label': 'Theme', onclick: () => this.setTheme({ auto: 'dark', dark: 'light', light: 'auto' }[document.documentElement.dataset.theme]) }, '◑')
  }

  setTheme(theme) {
    document.documentElement.dataset.theme = theme
    try {
      localStorage.setItem('theme', theme)
    } catch {
      // a file opened from disk may have no storage; the theme then lasts as long as the page
    }
    this.page?.dirty?.()
  }
}

function stored(name) {
  try {
    return localStorage.getItem(name)
  } catch {
    return null
  }
}

async function start() {
  const root = document.getElementById('app')
  const packed = document.getElementById('packed')
  let source = new ServerSource()
  if (packed) {
    source = new FileSource(packed.textContent)
    packed.remove()
    const run = await source.open()
    if (!location.hash.startsWith('#/run/')) history.replaceState(null, '', `#/run/${run}`)
  }
  const app = new App(root, source)
  // For scripts and tests: what the page says of the run, as JSON.
  window.counterpoint = {
    document: () => app.page.shown().view.document(),
    events: () => app.page.history.events,
    needs: () => needs(app.page.shown().view, app.page.shown().now),
    bars: () => [...app.page.history.timeline.lanes.values()].map((lane) => [lane.id, lane.doing, lane.bars.map((bar) => [bar.kind, bar.start, bar.end, bar.label])]),
    get ready() {
      return app.page?.history ? app.page.history.events.length : 0
    },
    get seq() {
      return app.page?.state?.seq ?? app.page?.history?.events.length ?? 0
    },
    get live() {
      return app.page?.live ?? null
    },
  }
}

start()
