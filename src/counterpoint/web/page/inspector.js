// The right side: the run itself, or one agent with everything that is known of it.

import { Part, fill, h } from './dom.js'
import { clock, count, duration, money, oneLine, plural } from './text.js'
import { SIGNS, STATES, stateOf } from './attention.js'

const SHOWN = 20_000

// A text of any length: its beginning, and more of it on demand. An endless line costs no layout.
export function longText(text, shown = SHOWN) {
  const pre = h('pre.text', { tabindex: '0' }, text.slice(0, shown))
  if (text.length <= shown) return pre
  const more = h('button.link', { type: 'button' })
  const label = () => (more.textContent = `${(text.length - shown).toLocaleString('en')} more characters: show`)
  more.addEventListener('click', () => {
    fill(pre, text.slice(0, (shown += 100_000)))
    if (shown >= text.length) more.remove()
    else label()
  })
  label()
  return h('.long', null, pre, more)
}

export function jsonText(value) {
  return longText(typeof value === 'string' ? value : JSON.stringify(value, null, 2) ?? 'undefined')
}

const AGENT_TABS = [['live', 'Transcript'], ['prompt', 'Prompt'], ['result', 'Result'], ['diff', 'Diff'], ['usage', 'Usage'], ['raw', 'Raw']]

export class AgentPane {
  // `load(id)` gives an agent's document; `act(verb, agent)` asks something of the run.
  constructor(node, { load, act, close, choose, proof = null, memory = false }) {
    // `proof` is a place in the transcript to go to: the number of a message, and what stands there.
    Object.assign(this, { node, load, act, close, choose, proof, memory, tab: 'live', detail: null, id: null, loadedAt: '' })
    this.head = new Part(h('.agent-head'), (agent, state, now, live) => this.buildHead(agent, state, now, live))
    this.tabs = h('.tabs.small', { role: 'tablist' }, AGENT_TABS.map(([name, title]) => h('button', { type: 'button', role: 'tab', 'data-tab': name, onclick: () => this.setTab(name) }, title)))
    this.body = new Part(h('.agent-body', { role: 'tabpanel' }), (agent) => this.buildBody(agent))
    this.frame = [this.head.node, this.tabs, this.body.node]
  }

  setTab(name) {
    this.tab = name
    this.redo?.()
  }

  show(agent, timeline, now, live) {
    this.redo = () => this.show(agent, timeline, now, live)
    if (this.node.firstChild !== this.frame[0]) this.node.replaceChildren(...this.frame)
    const state = stateOf(agent, timeline.doing(agent.id))
    if (agent.id !== this.id) {
      this.id = agent.id
      this.detail = null
      this.loadedAt = ''
    }
    this.refresh(agent)
    for (const each of this.tabs.children) if (each.dataset.tab === 'diff') each.hidden = !agent.workspace
    for (const each of this.tabs.children) each.setAttribute('aria-selected', String(each.dataset.tab === this.tab))
    this.head.show([agent.id, state, agent.label, agent.doing, agent.attempt, agent.turns, agent.tools, live, agent.state === 'finished' ? 0 : Math.round(now)], agent, state, now, live)
    this.body.show([agent.id, this.tab, this.loadedAt, state, Boolean(this.detail)], agent)
    if (this.proof && this.detail && this.proof.agent === agent.id) {
      this.body.node.querySelector('.proved')?.scrollIntoView({ block: 'center' })
      this.proof = null
    }
  }

  // Reads the agent's document anew when the agent has moved.
  refresh(agent) {
    const moved = `${agent.lastAt}|${agent.state}|${agent.attempt}`
    if (this.loading || moved === this.loadedAt) return
    this.loading = true
    const id = agent.id
    this.load(id)
      .then((detail) => {
        if (this.id === id) Object.assign(this, { detail, loadedAt: moved, problem: '' })
      })
      .catch((error) => {
        if (this.id === id) Object.assign(this, { loadedAt: moved, problem: error.message })
      })
      .finally(() => {
        this.loading = false
        this.redo?.()
      })
  }

  buildHead(agent, state, now, live) {
    const seconds = agent.state === 'finished' ? agent.seconds : agent.startedAt === null ? 0 : Math.max(0, now - agent.startedAt)
    const facts = [agent.phase, agent.answeredBy || agent.model, duration(seconds), plural(agent.turns, 'turn'), plural(agent.tools, 'tool'), agent.attempt > 1 ? `attempt ${agent.attempt}` : null,
      agent.retries ? plural(agent.retries, 'retry').replace('retrys', 'retries') : null, agent.line ? `line ${agent.line}` : null]
    const button = (verb, title) => h('button.quiet', { type: 'button', title, onclick: () => this.act(verb, agent) }, verb[0].toUpperCase() + verb.slice(1))
    const verbs = live
      ? agent.state === 'finished' ? [] : [button('steer', 'Say something to it (s)'), agent.state === 'running' ? button('retry', 'Start it anew (r)') : null, button('skip', 'End it: the script gets null (x)')]
      : agent.good || live === null ? [] : [button('retry', 'Run it again, and what follows from it (r)')]
    return [
      h('.row-flex', null, h('span.state-sign', { class: `ink-${state}`, 'aria-hidden': 'true' }, SIGNS[state]), h('h2', null, oneLine(agent.label || agent.id, 120)),
        h('button.icon', { type: 'button', 'aria-label': 'Close', title: 'Close (Esc)', onclick: this.close }, '×')),
      h('p.facts', null, h('b', { class: `ink-${state}` }, STATES[state]), ' · ', h('code', null, agent.id), ' · ', facts.filter(Boolean).map((fact) => oneLine(fact, 60)).join(' · ')),
      agent.doing && agent.state === 'running' ? h('p.doing', null, oneLine(agent.doing, 200)) : null,
      agent.fault ? h('p.fault', null, h('b', null, agent.fault.name), ' ', agent.fault.message) : null,
      verbs.length ? h('.buttons', null, verbs) : null,
    ]
  }

  buildBody(agent) {
    if (this.problem) return h('p.wrong', null, this.problem)
    const detail = this.detail
    if (!detail) return h('p.calm', null, 'Loading…')
    switch (this.tab) {
      case 'prompt':
        return [h('h3', null, 'Exactly as the script gave it'), longText(String(detail.prompt ?? '')), Object.keys(detail.options ?? {}).length ? [h('h3', null, 'Options'), jsonText(detail.options)] : null,
          (detail.notes ?? []).length ? [h('h3', null, 'Told of earlier sessions'), h('ul.plain', null, detail.notes.map((id) => h('li', null, this.memory ? h('a', { href: `#/memory?note=${id}` }, h('code', null, id)) : h('code', null, id), detail.cited.includes(id) ? ' named by it' : detail.contradicted.includes(id) ? ' called wrong by it' : '')))] : null]
      case 'result':
        return [agent.outcome ? h('h3', null, 'What the script received') : h('p.calm', null, 'No result yet.'), agent.outcome ? jsonText(detail.value) : null,
          detail.raw !== null && detail.raw !== undefined ? [h('h3', null, 'What the agent said'), jsonText(detail.raw)] : null]
      case 'diff':
        return diff(detail.workspace)
      case 'usage':
        return usageTable(agent)
      case 'raw':
        return jsonText({ ...detail, transcript: `${detail.transcript.length} messages` })
      default:
        return detail.transcript.length ? h('ol.transcript', null, detail.transcript.map((said, n) => message(said, this.proof?.agent === agent.id && this.proof.message === n ? this.proof.quote : null))) : h('p.calm', null, agent.state === 'queued' ? 'It waits for a free slot.' : 'Nothing has been said.')
    }
  }
}

const DIFF_LINES = 4000

function diff(made) {
  if (!made) return h('p.calm', null, 'It has left nothing in a worktree.')
  const facts = h('p.facts', null, h('code', null, made.branch), ` · ${plural(made.files?.length ?? 0, 'file')} · `, h('b.ink-ok', null, `+${made.insertions ?? 0}`), ' ', h('b.ink-failed', null, `−${made.deletions ?? 0}`), made.path ? ` · ${oneLine(made.path, 120)}` : '')
  if (!made.patch) return [facts, h('ul.plain', null, (made.files ?? []).map((file) => h('li', null, h('code', null, oneLine(file, 160))))), h('p.calm', null, `The patch is ${made.patch_bytes ? 'too long for the journal' : 'empty'}: git diff ${made.base}..${made.commit}`)]
  const lines = made.patch.split('\n')
  const kinds = { '+': 'added', '-': 'removed', '@': 'place', d: 'file' }
  return [facts, h('pre.text.diff', { tabindex: '0' }, lines.slice(0, DIFF_LINES).map((line) => h('span', { class: kinds[line[0]] ?? '' }, `${line.slice(0, 2000)}\n`))),
    lines.length > DIFF_LINES ? h('p.calm', null, `${lines.length - DIFF_LINES} more lines: git diff ${made.base}..${made.commit}`) : null]
}

// The text with a quote in it marked; of a long one, what stands around the quote.
function marked(text, quote) {
  const at = text.indexOf(quote)
  const around = 10_000
  return h('pre.text', { tabindex: '0' }, text.slice(Math.max(0, at - around), at), h('mark', null, quote), text.slice(at + quote.length, at + quote.length + around))
}

// `quote` is what is to be seen in it; null: nothing in particular.
function message(said, quote = null) {
  const has = (text) => quote && typeof text === 'string' && text.includes(quote)
  const roles = { user: 'Asked', assistant: 'Model', tools: 'Tools', compacted: 'Made room' }
  return h('li', { class: `said-${said.type}${quote === null ? '' : ' proved'}` }, h('span.role', null, roles[said.type] ?? said.type),
    said.note ? h('p.calm', null, said.note) : null,
    has(said.text) ? marked(said.text, quote) : said.text ? longText(said.text, 6000) : null,
    (said.calls ?? []).map((call) => h('details.call', null, h('summary', null, h('i', { 'aria-hidden': 'true' }, '⚙ '), h('b', null, call.name), ' ', h('code', null, oneLine(JSON.stringify(call.input ?? call.raw ?? ''), 120))), jsonText(call.input ?? call.raw ?? ''))),
    (said.results ?? []).map((result) => h('details.call', { class: result.error ? 'bad' : '', open: has(result.content) }, h('summary', null, h('i', { 'aria-hidden': 'true' }, result.error ? '✗ ' : '↳ '), h('b', null, result.name), ' ', h('code', null, oneLine(result.content, 120))), has(result.content) ? marked(result.content, quote) : longText(result.content, 6000))))
}

function usageTable(agent) {
  const { usage } = agent
  const rows = [['Requests', usage.requests], ['Input tokens', usage.input_tokens.toLocaleString('en')], ['of these cached', usage.cached_input_tokens.toLocaleString('en')],
    ['Output tokens', usage.output_tokens.toLocaleString('en')], ['Cost', money(usage.usd)], ['Queued', agent.queuedAt ? clock(agent.queuedAt) : ''],
    ['Started', agent.startedAt ? clock(agent.startedAt) : ''], ['Ended', agent.finishedAt ? clock(agent.finishedAt) : ''], ['Waited for a slot', agent.startedAt ? duration(agent.startedAt - agent.queuedAt) : ''],
    ['Model as asked', agent.model], ['Model that answered', agent.answeredBy]]
  return h('table.pairs', null, h('tbody', null, rows.filter(([, value]) => value !== '').map(([name, value]) => h('tr', null, h('th', { scope: 'row' }, name), h('td', null, value)))))
}

// --- the run itself ------------------------------------------------------------------------------------------------

export class RunPane {
  constructor(node, { tags, exports }) {
    Object.assign(this, { node, tags, exports })
    this.part = new Part(h('.run-pane'), (facts) => this.build(facts))
  }

  show(view, live, outcome, forks) {
    if (this.node.firstChild !== this.part.node) this.node.replaceChildren(this.part.node)
    const facts = {
      description: view.description, script: view.script, cwd: view.cwd, model: view.model, attempt: view.attempt, created: view.begunAt, version: view.version, bounds: view.bounds,
      message: view.shownMessage, error: view.error, requests: [...view.requests.values()].slice(-12).reverse(), status: view.shownStatus(), live, outcome,
      slots: view.slotFailures, refusals: view.refusals, parent: view.parent, forks, tags: view.tags,
    }
    this.part.show(facts, facts)
  }

  build(facts) {
    const pairs = [['Script', facts.script], ['Folder', facts.cwd], ['Model', facts.model], ['Attempt', facts.attempt], ['Begun', facts.created ? new Date(facts.created * 1000).toLocaleString() : ''], ['Made with', facts.version],
      ['Ceiling', [facts.bounds.budget_tokens ? `${count(facts.bounds.budget_tokens)} output tokens` : '', facts.bounds.budget_usd ? money(facts.bounds.budget_usd) : ''].filter(Boolean).join(', ') || 'none'],
      ['Slots', facts.bounds.concurrency ?? '']]
    return [
      facts.description ? h('p.lead', null, facts.description) : null,
      facts.message ? h('p.message', null, facts.message) : null,
      facts.error ? h('p.fault', null, h('b', null, facts.error.name), ' ', facts.error.message, facts.error.line ? ` (line ${facts.error.line})` : '') : null,
      facts.outcome !== undefined && facts.outcome !== null ? [h('h3', null, 'Result'), jsonText(typeof facts.outcome?.report === 'string' ? facts.outcome.report : facts.outcome)] : null,
      facts.requests.length ? [h('h3', null, 'Asked of this run'), h('ul.receipts', null, facts.requests.map(receipt))] : null,
      facts.parent || facts.forks.length ? [h('h3', null, 'Forks'), h('ul.plain.forks', null,
        facts.parent ? h('li', null, 'forked from ', runLink(facts.parent.run_id, facts.parent.seq), ` at event ${facts.parent.seq.toLocaleString('en')}`, facts.parent.by ? ` by ${oneLine(facts.parent.by, 50)}` : '') : null,
        facts.forks.map((fork) => h('li', null, runLink(fork.run_id), ` goes its own way from event ${fork.seq.toLocaleString('en')}`)))] : null,
      h('h3', null, 'Run'),
      h('table.pairs', null, h('tbody', null, pairs.filter(([, value]) => value !== '' && value !== 0).map(([name, value]) => h('tr', null, h('th', { scope: 'row' }, name), h('td', null, value))))),
      facts.tags.length || this.tags ? h('p.tag-line', null, facts.tags.map((tag) => h('a.tag', { href: `#/?filter=${encodeURIComponent(`tag:${tag}`)}` }, tag)), this.tags ? h('button.link', { type: 'button', onclick: this.tags }, facts.tags.length ? 'Change tags' : 'Add tags') : null) : null,
      folded(facts.slots, 'slot left empty', 'slots left empty', (slot) => `${slot.hook}[${slot.index}]: ${slot.fault.name}: ${oneLine(slot.fault.message, 120)}`),
      folded(facts.refusals, 'call refused', 'calls refused', (each) => `${each.label ?? ''} ${each.fault.name}: ${oneLine(each.fault.message, 120)}`),
      this.exports ? [h('h3', null, 'Take it with you'), h('p.buttons', null, ['html', 'jsonl', 'perfetto', 'otlp'].map((form) => h('a.button.quiet', { href: this.exports(form), download: true }, form)))] : null,
    ]
  }
}

function runLink(id, seq = null) {
  return h('a', { href: `#/run/${encodeURIComponent(id)}${seq === null ? '' : `?seq=${seq}`}` }, h('code', null, id))
}

function folded(list, one, many, text) {
  if (!list.length) return null
  return h('details.fold', null, h('summary', null, `${list.length} ${list.length === 1 ? one : many}`), h('ul.plain', null, list.slice(0, 200).map((each) => h('li', null, text(each)))))
}

function receipt(request) {
  const state = request.done_at === null ? 'delivered' : request.ok ? 'done' : 'refused'
  const sign = { delivered: '◔', done: '✓', refused: '✗' }[state]
  return h('li', { class: `receipt-${state}` }, h('i', { 'aria-hidden': 'true' }, sign), h('span', null, h('b', null, request.verb), request.target ? ` ${oneLine(request.target, 40)}` : '', ` · ${state}`,
    h('small', null, `${oneLine(request.by, 50)} · asked ${clock(request.asked_at)}`, request.done_at ? `, ${state} ${clock(request.done_at)}` : ''), request.message ? h('small', null, oneLine(request.message, 200)) : null))
}
