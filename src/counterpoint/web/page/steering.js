// What a person may ask of a run, and the receipts: each request says when it was delivered and what came of it.

import { fill, h } from './dom.js'
import { count, money, oneLine, plural } from './text.js'

const STAYS_MS = 8000

const field = (name, input, hint = '') => h('label.field', null, h('span.name', null, name), hint ? h('span.hint', null, hint) : null, input)

export class Steering {
  // `page` is the run's page: its id, history, live and shown point.
  constructor(app, page) {
    Object.assign(this, { app, page, source: app.source, toasts: [], node: h('.toasts', { role: 'status', 'aria-live': 'polite' }) })
  }

  get view() {
    return this.page.history.view
  }

  // What can be asked of the whole run now: [verb, title, text].
  verbs(view, status) {
    if (!this.source.canAsk || this.page.state.seq !== null) return []
    if (this.page.live && !view.ended) {
      return [status === 'paused' ? ['continue', 'Go on (p)', 'Continue'] : ['pause', 'Start no more agents (p)', 'Pause'], ['steer', 'Say something to all agents (S)', 'Steer all'], ['budget', 'Change the ceilings (b)', 'Budget'], ['stop', 'End the run (X)', 'Stop']]
    }
    return this.page.live === false && status !== 'completed' ? [['resume', 'Go on with what is left', 'Resume']] : []
  }

  // `agents`: of whom it is asked; none: of the run, or of all.
  act(verb, agents = []) {
    const who = agents.length === 1 ? oneLine(agents[0].label || agents[0].id, 60) : agents.length ? plural(agents.length, 'agent') : 'every agent'
    const targets = agents.map((agent) => agent.id)
    switch (verb) {
      case 'continue':
        return this.ask({ verb })
      case 'pause':
        return this.app.dialog('Pause the run', [h('p', null, 'No more agents start; those under way finish. The process stays, and Continue goes on.')], 'Pause', () => this.ask({ verb, stay: true }))
      case 'stop':
        return this.stop()
      case 'skip':
        return this.app.dialog(`Skip ${who}`, [h('p', null, `${agents.length === 1 ? 'It ends' : 'They end'} now, and the script gets null. What has been used so far stays spent.`)], agents.length === 1 ? 'Skip it' : 'Skip them', () => this.ask({ verb, targets }), true)
      case 'retry':
        return this.retry(agents, who)
      case 'steer':
        return this.steer(targets, who)
      case 'budget':
        return this.budget()
      case 'fork':
        return this.fork()
      default:
        return this.app.try(this.source.resume(this.page.id).then(() => this.say('Resuming…')))
    }
  }

  stop() {
    const agents = this.view.own()
    const running = agents.filter((agent) => agent.state === 'running').length
    const queued = agents.filter((agent) => agent.state === 'queued').length
    const kept = agents.filter((agent) => agent.good).length
    const drain = h('input', { type: 'checkbox' })
    return this.app.dialog('Stop the run', [h('p', null, `${plural(running, 'agent')} under way ${running === 1 ? 'is' : 'are'} cancelled, ${queued} in the queue never start. ${plural(kept, 'result')} stay in the journal; a resume asks none of them again.`),
      h('label.field.check', null, drain, h('span', null, 'Let the agents under way finish'))], 'Stop', () => this.ask({ verb: 'stop', drain: drain.checked }), true)
  }

  async retry(agents, who) {
    const alone = agents.length === 1
    const asked = alone ? String((await this.source.agent(this.page.id, agents[0].id).catch(() => null))?.prompt ?? '') : ''
    const prompt = h('textarea', { rows: '5', value: asked })
    const model = h('input', { placeholder: agents[0].model, spellcheck: 'false' })
    const told = this.page.live ? 'What was said so far is dropped.' : 'A process goes on with the run: what is chosen runs again, and whatever depends on it.'
    return this.app.dialog(`Run ${who} again`, [h('p', null, told), alone ? field('Prompt', prompt) : null, field('Model', model)], 'Run again', () => {
      const changes = { ...(alone && prompt.value !== asked ? { prompt: prompt.value } : {}), ...(model.value.trim() ? { model: model.value.trim() } : {}) }
      return this.ask({ verb: 'retry', targets: agents.map((agent) => agent.id), ...changes })
    })
  }

  steer(targets, who) {
    const text = h('textarea', { rows: '4', required: true, maxlength: '20000', placeholder: 'Look at the tests first …' })
    return this.app.dialog(`Say something to ${who}`, [h('p.calm', null, 'It is heard at the next tool boundary. The receipt says when.'), text], 'Send', () => this.ask({ verb: 'steer', targets, text: text.value }))
  }

  budget() {
    const { view } = this
    const usage = view.usage()
    const tokens = h('input', { placeholder: '500k', spellcheck: 'false', value: view.bounds.budget_tokens ?? '' })
    const usd = h('input', { type: 'number', min: '0', step: 'any', value: view.bounds.budget_usd ?? '' })
    const slots = h('input', { type: 'number', min: '1', max: '1000', step: '1', value: view.bounds.concurrency ?? '' })
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

  // A new run from the point that is shown.
  async fork() {
    const { view } = this.page.shown()
    const seq = view.lastSeq
    const kept = view.own().filter((agent) => agent.outcome === 'ok' || agent.outcome === 'reused').length
    const open = view.own().filter((agent) => agent.state !== 'finished').length
    const written = (await this.source.script(this.page.id).catch(() => null))?.source ?? ''
    const given = view.args?.json === undefined ? '' : JSON.stringify(view.args.json, null, 2)
    const args = h('textarea', { rows: '3', spellcheck: 'false', value: given, placeholder: view.args ? 'as they are (too long to show)' : 'none; JSON' })
    const model = h('input', { placeholder: view.model, spellcheck: 'false' })
    const script = h('textarea.code', { rows: '10', spellcheck: 'false', value: written })
    const wrong = h('p.wrong', { role: 'alert' })
    const body = [
      h('p', null, `A new run begins with what this one had recorded up to event ${seq.toLocaleString('en')}: ${plural(kept, 'result')} can be reused${open ? `, ${plural(open, 'agent')} under way then begin${open === 1 ? 's' : ''} anew` : ''}. This run stays as it is.`),
      field('Arguments', args), field('Model for what runs anew', model), h('details.fold', null, h('summary', null, 'Edit the script'), script), wrong,
    ]
    return this.app.dialog(`Fork from event ${seq.toLocaleString('en')}`, body, 'Fork', async () => {
      const asked = { seq, ...(model.value.trim() ? { model: model.value.trim() } : {}), ...(script.value !== written ? { script: script.value } : {}) }
      try {
        if (args.value.trim() && args.value !== given) asked.args = JSON.parse(args.value)
        const { run_id: made } = await this.source.fork(this.page.id, asked)
        location.hash = `#/run/${encodeURIComponent(made)}`
        return true
      } catch (error) {
        wrong.textContent = `${error.message}${error.hint ? ` ${error.hint}` : ''}`
        return false
      }
    })
  }

  tags() {
    const { view } = this
    const input = h('input', { value: view.tags.join(' '), placeholder: 'nightly baseline', spellcheck: 'false' })
    return this.app.dialog('Tags of the run', [field('Tags, with spaces between them', input, 'Words to find the run by: tag:nightly')], 'Set', () => {
      const wanted = input.value.split(/\s+/).filter(Boolean)
      const change = { add: wanted.filter((tag) => !view.tags.includes(tag)), remove: view.tags.filter((tag) => !wanted.includes(tag)) }
      return this.app.try(this.source.tag(this.page.id, change))
    })
  }

  ask(body) {
    return this.app.try(this.source.ask(this.page.id, body).then((given) => {
      const { targets = body.target ? [body.target] : [] } = body
      const what = `${body.verb}${targets.length ? ` ${targets.length > 3 ? plural(targets.length, 'agent') : targets.join(', ')}` : ''}`
      if (given.requests?.length) this.toasts.push({ what, requests: given.requests })
      else this.say(given.recorded ? `${what}: recorded. Resume goes on with it.` : `${what}: started`)
      this.page.dirty()
    }))
  }

  say(text) {
    this.toasts.push({ what: text, requests: [] })
    this.page.dirty()
  }

  // The receipts that are on their way, and those that have just come.
  show(view) {
    const now = performance.now()
    const rows = this.toasts.map((toast) => {
      const receipts = toast.requests.map((number) => view.requests.get(number)).filter(Boolean)
      const over = receipts.filter((receipt) => receipt.done_at !== null)
      if (over.length === toast.requests.length && !toast.ends) toast.ends = now + STAYS_MS
      return { ...toast, ...receiptState(toast.requests.length, receipts) }
    })
    this.toasts = this.toasts.filter((toast) => !toast.ends || toast.ends > now)
    fill(this.node, rows.map((row) => h('.toast', { class: `receipt-${row.state}` }, h('b', null, oneLine(row.what, 80)), row.told ? h('span', null, row.told) : null, row.message ? h('small', null, oneLine(row.message, 160)) : null)))
    if (this.toasts.length) setTimeout(() => this.page.dirty(), 500)
  }
}

// What several receipts come to; of one, its own words.
function receiptState(asked, receipts) {
  if (!asked) return { state: '', told: '', message: '' }
  const refused = receipts.filter((receipt) => receipt.done_at !== null && !receipt.ok)
  const done = receipts.filter((receipt) => receipt.done_at !== null && receipt.ok)
  const waits = asked - refused.length - done.length
  const state = refused.length ? 'refused' : waits ? (receipts.length ? 'delivered' : 'asked') : 'done'
  const told = asked === 1 ? state : [[done.length, 'done'], [refused.length, 'refused'], [waits, 'open']].filter(([n]) => n).map(([n, word]) => `${n} ${word}`).join(', ')
  return { state, told, message: refused[0]?.message ?? (asked === 1 ? receipts[0]?.message ?? '' : '') }
}
