// RunView: the fold of a run's events. Rule for rule what `view.py` does; a test compares the two over recorded journals.

const NO_USAGE = { input_tokens: 0, cached_input_tokens: 0, output_tokens: 0, requests: 0, usd: 0 }
const GOOD = new Set(['ok', 'reused'])
const OUTCOMES = ['ok', 'failed', 'invalid', 'limited', 'timed_out', 'stalled', 'skipped', 'cancelled', 'reused']

function usageOf(given) {
  return given ? { ...NO_USAGE, ...given } : NO_USAGE
}

function add(a, b) {
  return {
    input_tokens: a.input_tokens + b.input_tokens,
    cached_input_tokens: a.cached_input_tokens + b.cached_input_tokens,
    output_tokens: a.output_tokens + b.output_tokens,
    requests: a.requests + b.requests,
    usd: a.usd === null || b.usd === null ? null : a.usd + b.usd,
  }
}

export function faultOf(given) {
  if (!given) return null
  return { line: null, column: null, stack: '', ...given }
}

class AgentView {
  constructor(event) {
    this.id = event.agent
    this.options = event.options ?? {}
    this.outcome = null
    this.attempt = 0
    this.value = this.raw = this.fault = null
    this.answeredBy = ''
    this.paid = this.running = NO_USAGE
    this.startedAt = this.finishedAt = null
    this.seconds = this.turns = this.tools = this.retries = this.compactions = 0
    this.doing = ''
    this.inherited = false
    this.workspace = null
  }

  get usage() {
    return add(this.paid, this.running)
  }

  get good() {
    return GOOD.has(this.outcome)
  }
}

export class RunView {
  constructor() {
    Object.assign(this, {
      runId: '', name: '', description: '', script: '', model: '', cwd: '', simulated: false, version: '', bounds: {},
      status: 'running', message: '', attempt: 0, result: null, args: null, error: null, reused: 0, createdAt: 0, startedAt: null,
      endedAt: null, pausedUntil: null, activeS: 0, lastSeq: 0, lastAt: 0, gone: false, parent: null, tags: [], imported: null,
    })
    this.agents = new Map()
    this.phases = new Map()
    this.log = []
    this.slotFailures = []
    this.scriptErrors = []
    this.refusals = []
    this.gates = new Map()
    this.requests = new Map()
    this.held = new Map()
  }

  apply(event) {
    this.lastSeq = event.seq
    if (event.type !== 'run_tagged') this.lastAt = event.at // a tag may come long after the run
    HANDLERS[event.type]?.(this, event, event.at)
  }

  get ended() {
    return this.endedAt !== null
  }

  // Whoever looks knows whether a process is behind the run; where none is, nothing that looks alive is.
  get interrupted() {
    return this.gone && !this.ended
  }

  get shownMessage() {
    if (!this.interrupted) return this.message
    return `${this.attempt ? 'Its process ended' : 'No process has begun it'}: counterpoint resume ${this.runId}`
  }

  shownStatus() {
    if (this.interrupted) return 'interrupted'
    if (this.status !== 'running' || !this.openGates().length) return this.status
    for (const agent of this.agents.values()) if (agent.called && agent.state !== 'finished') return this.status
    return 'waiting'
  }

  get begunAt() {
    return this.parent ? this.parent.at : this.createdAt
  }

  // The agents of all attempts; without those that only the parent of a fork has called.
  own() {
    return [...this.agents.values()].filter((agent) => !agent.inherited)
  }

  counted() {
    if (this.status === 'completed' || this.status === 'partial') return [...this.agents.values()].filter((agent) => agent.called)
    return this.own()
  }

  counts() {
    const counts = { total: 0, ok: 0, reused: 0 }
    for (const outcome of OUTCOMES) counts[outcome] = 0
    for (const agent of this.counted()) {
      counts.total += 1
      if (agent.outcome) counts[agent.outcome] += 1
    }
    return counts
  }

  coverage() {
    const counted = this.counted()
    return { ok: counted.filter((agent) => agent.good).length, of: counted.length }
  }

  usage() {
    let total = NO_USAGE
    for (const agent of this.agents.values()) total = add(total, agent.usage)
    return total
  }

  phaseRows() {
    const rows = new Map([...this.phases.keys()].map((title) => [title, { title, agents: 0, ok: 0 }]))
    for (const agent of this.counted()) {
      if (agent.phase === null) continue
      if (!rows.has(agent.phase)) rows.set(agent.phase, { title: agent.phase, agents: 0, ok: 0 })
      const row = rows.get(agent.phase)
      row.agents += 1
      row.ok += agent.good ? 1 : 0
    }
    return [...rows.values()]
  }

  durationS(now) {
    if (this.ended || this.startedAt === null) return this.activeS
    return this.activeS + Math.max(0, (now || this.lastAt) - this.startedAt)
  }

  openGates() {
    return [...this.gates.values()].filter((gate) => !gate.answered)
  }

  // What the JSON document of `show --json` says, as far as events alone tell it.
  document() {
    const document = {
      run_id: this.runId,
      name: this.name,
      status: this.shownStatus(),
      message: this.shownMessage,
      error: this.error,
      agents: this.counts(),
      coverage: this.coverage(),
      script_errors: this.scriptErrors,
      usage: this.usage(),
      phases: this.phaseRows(),
      resumed_from: this.reused,
      model: this.model,
      simulated: this.simulated,
      script: this.script,
      agent_list: this.counted().map((agent) => row(this, agent)),
      requests: [...this.requests.values()],
      tags: this.tags,
      imported: this.imported,
      parent: this.parent ? { run_id: this.parent.run_id, seq: this.parent.seq } : null,
    }
    const gates = this.openGates()
    if (gates.length) document.gates = gates.map(({ id, question, options }) => ({ id, question, options }))
    if (this.pausedUntil !== null) document.paused_until = this.pausedUntil
    return document
  }
}

function row(view, agent) {
  const usage = Object.fromEntries(Object.entries(agent.usage).filter(([, value]) => value !== 0))
  return {
    id: agent.id, label: agent.label, phase: agent.phase, outcome: agent.outcome, state: agent.state === 'running' && view.interrupted ? 'interrupted' : agent.state, attempt: agent.attempt,
    model: agent.answeredBy || agent.model, seconds: agent.seconds, turns: agent.turns, usage, fault: agent.rawFault ?? null,
    line: agent.line, workflow: agent.workflow, doing: agent.doing, ...(agent.compactions ? { compactions: agent.compactions } : {}),
  }
}

function setFault(agent, fault) {
  agent.rawFault = fault ?? null
  agent.fault = faultOf(fault)
}

const HANDLERS = {
  run_created(view, event, at) {
    view.runId = event.run_id
    for (const name of ['name', 'description', 'script', 'model', 'cwd']) view[name] = event[name]
    view.args = event.args ?? null
    view.simulated = event.simulated ?? false
    view.version = event.version ?? ''
    view.bounds = { ...event.bounds }
    view.createdAt = at
    view.parent = event.parent ?? null
    view.tags = event.tags ?? []
    view.imported = event.imported || null
    for (const phase of event.phases ?? []) {
      const title = String(phase.title ?? '')
      view.phases.set(title, { title, declared: true, entered: false, detail: String(phase.detail || '') })
    }
  },

  run_forked(view, event) {
    forgetAttempt(view)
    Object.assign(view, { status: 'running', message: '', result: null, error: null, attempt: 0, activeS: 0, startedAt: null, endedAt: null, pausedUntil: null })
    view.gates = new Map()
    view.requests = new Map()
    Object.assign(view.bounds, event.bounds)
    view.script = event.script || view.script
    for (const agent of view.agents.values()) {
      agent.inherited = true
      agent.paid = NO_USAGE
    }
  },

  run_tagged(view, event) {
    view.tags = event.tags
  },

  run_started(view, event, at) {
    if (view.startedAt !== null && view.endedAt === null) view.activeS += Math.max(0, view.lastAt - view.startedAt)
    view.attempt = event.attempt
    view.startedAt = at
    view.endedAt = view.pausedUntil = null
    view.status = 'running'
    view.message = ''
    view.result = view.error = null
    Object.assign(view.bounds, event.bounds)
    view.script = event.script || view.script
    if (event.attempt > 1) forgetAttempt(view)
  },

  run_paused(view, event) {
    view.status = 'paused'
    view.message = event.message
    view.pausedUntil = event.until ?? null
  },

  run_continued(view) {
    view.status = 'running'
    view.message = ''
    view.pausedUntil = null
  },

  run_ended(view, event, at) {
    view.status = event.status
    view.result = event.result ?? null
    view.error = faultOf(event.error)
    view.endedAt = at
    if (event.message || event.status !== 'paused') view.message = event.message ?? ''
    if (event.status !== 'paused') view.pausedUntil = null
    if (view.startedAt !== null) view.activeS += Math.max(0, at - view.startedAt)
  },

  phase_entered(view, event) {
    if (!view.phases.has(event.title)) view.phases.set(event.title, { title: event.title, declared: false, detail: '' })
    view.phases.get(event.title).entered = true
  },

  log_written(view, event, at) {
    view.log.push({ at, seq: event.seq, text: event.text, level: event.level ?? 'info', origin: event.origin ?? 'script' })
  },

  slot_failed(view, event) {
    view.slotFailures.push(event)
  },

  script_error(view, event) {
    view.scriptErrors.push(faultOf(event.fault))
  },

  call_refused(view, event) {
    view.refusals.push(event)
  },

  agent_queued(view, event, at) {
    let agent = view.agents.get(event.agent)
    if (!agent) {
      agent = new AgentView(event)
      view.agents.set(event.agent, agent)
    }
    agent.label = event.label ?? ''
    agent.phase = event.phase ?? null
    agent.workflow = event.workflow ?? null
    agent.line = event.line ?? null
    agent.model = event.model ?? ''
    agent.prompt = event.prompt
    agent.state = 'queued'
    agent.outcome = agent.value = agent.raw = agent.startedAt = agent.finishedAt = null
    setFault(agent, null)
    agent.doing = ''
    agent.called = true
    agent.inherited = false
    agent.queuedAt = agent.lastAt = at
  },

  agent_started(view, event, at) {
    const agent = view.agents.get(event.agent)
    agent.state = 'running'
    agent.attempt = event.attempt ?? 1
    agent.startedAt = agent.lastAt = at
    agent.turns = event.taken_up ?? 0
    agent.compactions = event.taken_up ? agent.compactions : 0
    agent.paid = add(agent.paid, agent.running)
    agent.running = NO_USAGE
    agent.doing = ''
  },

  agent_slow(view, event) {
    view.agents.get(event.agent).doing = `waits for ${event.waits_for} since ${event.seconds.toFixed(0)} s`
  },

  agent_turned(view, event, at) {
    const agent = view.agents.get(event.agent)
    agent.running = add(agent.running, usageOf(event.usage))
    agent.turns = event.turn
    agent.doing = event.note ?? ''
    agent.lastAt = at
  },

  agent_compacted(view, event, at) {
    const agent = view.agents.get(event.agent)
    agent.running = add(agent.running, usageOf(event.usage))
    agent.compactions += 1
    agent.doing = `made room: ${(event.before ?? 0).toLocaleString('en')} to ${(event.after ?? 0).toLocaleString('en')} tokens`
    agent.lastAt = at
  },

  tool_used(view, event, at) {
    const agent = view.agents.get(event.agent)
    if (!agent) return
    agent.tools += 1
    agent.doing = `${event.tool} ${event.summary ?? ''}`.trim()
    agent.lastAt = at
  },

  agent_retried(view, event, at) {
    const agent = view.agents.get(event.agent)
    agent.retries += 1
    agent.doing = `waits ${(event.wait ?? 0).toFixed(1)} s: ${event.fault.message}`
    agent.lastAt = at
  },

  agent_finished(view, event, at) {
    const agent = view.agents.get(event.agent)
    agent.state = 'finished'
    agent.outcome = event.outcome
    setFault(agent, event.fault)
    agent.value = event.value ?? null
    agent.raw = event.raw ?? null
    agent.answeredBy = event.model ?? ''
    agent.paid = add(agent.paid, usageOf(event.usage))
    agent.running = NO_USAGE
    agent.finishedAt = agent.lastAt = at
    agent.seconds = event.seconds ?? 0
    agent.turns = event.turns ?? 1
  },

  workspace_closed(view, event) {
    view.agents.get(event.agent).workspace = event
  },

  agent_reused(view, event) {
    const agent = view.agents.get(event.agent)
    agent.called = true
    agent.inherited = false
    agent.state = 'finished'
    agent.outcome = event.outcome ?? 'reused'
    agent.label = event.label ?? ''
    agent.phase = event.phase ?? null
    agent.workflow = event.workflow ?? null
    if (agent.outcome !== 'reused') return
    setFault(agent, null)
    view.reused += 1
  },

  agent_marked(view, event) {
    const agent = view.agents.get(event.agent)
    if (!agent) return
    agent.outcome = 'failed'
    setFault(agent, { name: 'MarkedFailed', message: event.reason })
  },

  gate_opened(view, event, at) {
    view.gates.set(event.gate, {
      id: event.gate, key: event.key, question: event.question, options: event.options ?? null, schema: event.schema ?? null,
      openedAt: at, deadline: event.deadline ?? null, answered: false, denied: false, answer: null, by: '',
    })
  },

  gate_answered(view, event) {
    const gate = view.gates.get(event.gate)
    Object.assign(gate, { answered: true, denied: event.denied ?? false, answer: event.answer ?? null, by: event.by ?? '' })
  },

  request_delivered(view, event, at) {
    view.requests.set(event.request, {
      id: event.request, verb: event.verb, target: event.target ?? null, by: event.by ?? '', asked_at: event.asked_at ?? 0,
      delivered_at: at, done_at: null, ok: true, message: '',
    })
  },

  request_done(view, event, at) {
    const request = view.requests.get(event.request)
    if (request) Object.assign(request, { done_at: at, ok: event.ok ?? true, message: event.message ?? '' })
  },

  bounds_changed(view, event) {
    Object.assign(view.bounds, event.bounds)
  },

  provider_held(view, event) {
    view.held.set(event.provider, { provider: event.provider, until: event.until, message: event.message ?? '' })
  },
}

// What belongs to one attempt only: the script starts again from the top.
function forgetAttempt(view) {
  view.reused = 0
  view.slotFailures = []
  view.scriptErrors = []
  view.refusals = []
  view.held = new Map()
  for (const agent of view.agents.values()) {
    agent.called = false
    if (agent.state === 'finished') continue
    agent.state = 'finished'
    agent.outcome = 'cancelled'
    setFault(agent, { name: 'Interrupted', message: 'The process that ran this agent ended before it did.' })
    agent.paid = add(agent.paid, agent.running)
    agent.running = NO_USAGE
  }
}
