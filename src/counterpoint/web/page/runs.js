// The list of runs: what needs a person first; several can be marked and asked at once.

import { Part, fill, h, logo } from './dom.js'
import { ago, oneLine, plural } from './text.js'
import { runMatcher } from './filter.js'
import { statusPill } from './panels.js'

const RUNS_MS = 2000
const ASKS = new Set(['waiting', 'paused', 'interrupted', 'failed', 'partial', 'budget_exceeded'])

export class RunsPage {
  constructor(root, app, { filter = '' } = {}) {
    Object.assign(this, { app, filter, all: [], marked: new Set() })
    const list = h('main.list')
    this.input = h('input.filter', { type: 'search', placeholder: 'Filter: tag:nightly status:failed …', 'aria-label': 'Filter runs', spellcheck: 'false', value: filter })
    this.input.addEventListener('input', () => this.setFilter(this.input.value))
    fill(root, h('header.top', null, h('a.brand', { href: '#/' }, logo(), h('span', null, 'Counterpoint')), h('.spring'), app.source.canAsk ? [h('a.button.quiet', { href: '#/dreams' }, 'Dreams'), h('a.button.quiet', { href: '#/memory' }, 'Memory')] : null, this.input, app.themeButton(), app.helpButton()), list)
    this.part = new Part(list, (runs, now) => this.build(runs, now))
    document.title = 'Counterpoint'
    this.load()
  }

  load() {
    this.app.source.runs().then((runs) => this.closed || this.show(runs)).catch((error) => this.app.problem(error))
      .finally(() => (this.timer = this.closed ? 0 : setTimeout(() => this.load(), RUNS_MS)))
  }

  show(runs) {
    this.all = runs
    const known = new Set(runs.map((run) => run.run_id))
    for (const id of this.marked) if (!known.has(id)) this.marked.delete(id)
    const now = Date.now() / 1000
    this.part.show([runs, [...this.marked], this.filter, Math.round(now / 20)], runs.filter(runMatcher(this.filter)), now)
  }

  setFilter(text) {
    this.filter = text
    if (this.input.value !== text) this.input.value = text
    history.replaceState(null, '', text ? `#/?filter=${encodeURIComponent(text)}` : '#/')
    this.show(this.all)
  }

  close() {
    this.closed = true
    clearTimeout(this.timer)
  }

  key(event) {
    if (event.key === '/') return this.input.focus(), true
    if (event.key === 'Escape' && this.marked.size) return this.marked.clear(), this.show(this.all), true
    return false
  }

  build(runs, now) {
    if (!this.all.length) {
      return h('.empty', null, h('h1', null, 'No runs yet'), h('p', null, 'Start one in a terminal; it appears here at once:'), h('pre', null, "counterpoint run survey --args '{\"path\": \"docs\"}' --model sim"),
        h('p.calm', null, 'Or see three hundred simulated agents at work: ', h('code', null, 'counterpoint demo')))
    }
    const group = (title, list) => list.length ? h('section', null, h('h2', null, title, h('span.badge.quiet', null, list.length)), h('ul.runs', null, list.map((run) => this.row(run, now)))) : null
    return h('.runs-page', null, h('h1', null, 'Runs'), this.bulk(),
      group('Need you', runs.filter((run) => ASKS.has(run.status))),
      group('Running', runs.filter((run) => run.status === 'running')),
      group('Over', runs.filter((run) => !ASKS.has(run.status) && run.status !== 'running')),
      runs.length ? null : h('p.calm', null, 'No run fits the filter.'))
  }

  row(run, now) {
    const id = encodeURIComponent(run.run_id)
    const mark = h('input', { type: 'checkbox', checked: this.marked.has(run.run_id), 'aria-label': `Mark ${run.run_id}`, onchange: () => (this.marked.delete(run.run_id) || this.marked.add(run.run_id), this.show(this.all)) })
    return h('li.run-line', null, this.app.source.canAsk ? mark : null, h('a.run-row', { href: `#/run/${id}` }, statusPill(run.status),
      h('span.title', null, oneLine(run.name, 60)), h('code', null, run.run_id), h('span.where', null, run.parent ? `fork of ${run.parent}` : oneLine(run.cwd, 80)), h('time', null, ago(run.created_at, now))),
      run.tags.length ? h('span.tags', null, run.tags.map((tag) => h('button.tag', { type: 'button', title: `Only runs with the tag ${tag}`, onclick: () => this.setFilter(`tag:${tag}`) }, tag))) : null)
  }

  bulk() {
    if (!this.marked.size) return null
    const runs = this.all.filter((run) => this.marked.has(run.run_id))
    const live = runs.filter((run) => run.status === 'running' || run.status === 'waiting')
    const button = (text, list, act, kind = 'quiet') => h('button', { type: 'button', class: kind, disabled: !list.length, onclick: () => act(list) }, text)
    return h('.bulk', { role: 'toolbar', 'aria-label': 'What is marked' }, h('b', null, plural(runs.length, 'run'), ' marked'), h('.spring'),
      button('Tag', runs, (list) => this.tag(list)),
      button('Pause', live, (list) => this.each(list, { verb: 'pause', stay: true })),
      button('Stop', live, (list) => this.app.dialog(`Stop ${plural(list.length, 'run')}`, [h('p', null, 'Their agents under way are cancelled. What has been answered stays in the journals; a resume asks none of it again.')], 'Stop', () => this.each(list, { verb: 'stop' }), true), 'danger'),
      h('button.quiet', { type: 'button', onclick: () => (this.marked.clear(), this.show(this.all)) }, 'Clear'))
  }

  tag(runs) {
    const input = h('input', { required: true, placeholder: 'nightly', spellcheck: 'false' })
    this.app.dialog(`Tag ${plural(runs.length, 'run')}`, [h('label.field', null, h('span.name', null, 'Tags, with spaces between them'), input)], 'Tag', () => {
      const change = { add: input.value.split(/\s+/).filter(Boolean), remove: [] }
      return this.app.try(Promise.all(runs.map((run) => this.app.source.tag(run.run_id, change))).then(() => this.app.source.runs()).then((all) => this.show(all)))
    })
  }

  // Asks the same of each; one that refuses is named, and the others are asked all the same.
  async each(runs, body) {
    const answers = await Promise.allSettled(runs.map((run) => this.app.source.ask(run.run_id, body)))
    const refused = answers.findIndex((answer) => answer.status === 'rejected')
    if (refused >= 0) this.app.problem(answers[refused].reason)
  }
}
