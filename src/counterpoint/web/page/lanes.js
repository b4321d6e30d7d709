// The timeline on a canvas: a row an agent (or a slot), a bar for each thing it did. Only what is in sight is drawn, and
// bars below a pixel melt into one, so that three hundred rows with ten thousand bars cost one frame.

import { h } from './dom.js'
import { clock, duration, oneLine } from './text.js'
import { STATES, stateOf } from './attention.js'

const AXIS = 26
const HEAD = 18
const LEAST_ROW = 1.4 // in one sight
const READABLE_ROW = 16
const MAX_ROW = 22
const NAMES = 168

export class Lanes {
  constructor(node, choose) {
    this.choose = choose
    this.canvas = h('canvas', { role: 'img', tabindex: '0', 'aria-label': 'Timeline of the agents; the Agents tab has the same as a table' })
    this.tip = h('.tip', { hidden: true })
    this.mode = 'phase'
    this.range = null // [begin, end] in seconds, null: everything
    this.scroll = 0
    this.rows = []
    this.drawn = 0
    this.readable = false
    const button = (text, title, act) => h('button.quiet', { type: 'button', title, onclick: act }, text)
    this.modes = h('.segmented', { role: 'group', 'aria-label': 'Rows' }, ['phase', 'slot'].map((mode) =>
      h('button', { type: 'button', 'aria-pressed': String(mode === this.mode), onclick: () => this.setMode(mode) }, `by ${mode}`)))
    const legend = h('.legend', null, ['queued', 'limited', 'model', 'tool', 'human'].map((kind) =>
      h('span', null, h(`i.swatch.bar-${kind}`), { queued: 'queued', limited: 'quota', model: 'model', tool: 'tool', human: 'person' }[kind])))
    const tools = h('.tools', null, this.modes, legend, h('.spring'),
      h('button.quiet', { type: 'button', title: 'All rows in sight, or rows with names', onclick: () => ((this.readable = !this.readable), this.draw()) }, 'Rows'), button('−', 'Zoom out (−)', () => this.zoom(1.6)), button('+', 'Zoom in (+)', () => this.zoom(1 / 1.6)), button('Fit', 'Show everything (0)', () => this.fit()))
    this.box = h('.canvas-box', null, this.canvas, this.tip)
    node.append(tools, this.box)
    new ResizeObserver(() => this.draw()).observe(this.box)
    this.listen()
  }

  setMode(mode) {
    this.mode = mode
    for (const each of this.modes.children) each.setAttribute('aria-pressed', String(each.textContent === `by ${mode}`))
    this.scroll = 0
    this.redo?.()
  }

  fit() {
    this.range = null
    this.scroll = 0
    this.draw()
  }

  // --- what is shown -----------------------------------------------------------------------------------------------

  show(view, timeline, { now, cursor, selected, match }) {
    this.redo = () => this.show(view, timeline, { now, cursor, selected, match })
    this.view = view
    this.timeline = timeline
    this.now = now
    this.cursor = cursor
    this.selected = selected
    this.rows = this.mode === 'slot' ? slotRows(view, timeline, match, now) : phaseRows(view, timeline, match)
    this.draw()
  }

  span() {
    const begin = this.timeline?.begin ?? 0
    const end = Math.max(begin + 0.5, this.now ?? 0, this.timeline?.end ?? 0)
    return this.range ?? [begin, end + (end - begin) * 0.01]
  }

  layout() {
    const height = this.box.clientHeight - AXIS
    const heads = this.rows.filter((row) => row.head).length
    const plain = this.rows.length - heads
    const fitting = plain ? (height - heads * HEAD - 6) / plain : MAX_ROW
    const row = Math.max(this.readable ? READABLE_ROW : LEAST_ROW, Math.min(MAX_ROW, fitting))
    let y = 0
    for (const each of this.rows) {
      each.y = y
      each.h = each.head ? HEAD : row
      y += each.h
    }
    this.total = y
    this.scroll = Math.max(0, Math.min(this.scroll, y - height))
  }

  draw() {
    if (this.frame) return
    this.frame = requestAnimationFrame(() => {
      this.frame = 0
      this.paint()
    })
  }

  paint() {
    const width = this.box.clientWidth
    const height = this.box.clientHeight
    if (!width || !height || !this.timeline) return
    const scale = window.devicePixelRatio || 1
    if (this.canvas.width !== Math.round(width * scale) || this.canvas.height !== Math.round(height * scale)) {
      this.canvas.width = Math.round(width * scale)
      this.canvas.height = Math.round(height * scale)
    }
    const style = getComputedStyle(this.canvas)
    const color = (name) => style.getPropertyValue(`--${name}`).trim()
    const colors = Object.fromEntries(['queued', 'limited', 'model', 'tool', 'human', 'ok', 'bad', 'reused', 'text', 'dim', 'line', 'accent', 'panel'].map((name) => [name, color(name)]))
    const ink = this.canvas.getContext('2d')
    ink.setTransform(scale, 0, 0, scale, 0, 0)
    ink.clearRect(0, 0, width, height)
    this.layout()
    const names = width > 640 ? NAMES : 0
    this.left = names
    const [begin, end] = this.span()
    const x = (at) => names + ((at - begin) / (end - begin)) * (width - names)
    this.x = x
    this.paintAxis(ink, colors, { begin, end, x, width, height, names })
    ink.save()
    ink.beginPath()
    ink.rect(0, AXIS, width, height - AXIS)
    ink.clip()
    this.drawn = 0
    if (!this.rows.length) {
      ink.fillStyle = colors.dim
      ink.font = '13px system-ui, sans-serif'
      ink.fillText(this.view.agents.size ? 'No agent fits here.' : 'No agents yet.', names + 14, AXIS + 22)
    }
    const limit = this.cursor ?? null
    const seen = this.rows.map((row) => [row, AXIS + row.y - this.scroll]).filter(([row, y]) => y + row.h >= AXIS && y <= height)
    for (const [row, y] of seen) {
      if (row.head) this.paintHead(ink, colors, row, y, width)
      else this.paintName(ink, colors, row, y, { names, width })
    }
    ink.beginPath() // one clip for all bars: three hundred cost more than the bars
    ink.rect(names, AXIS, width - names, height - AXIS)
    ink.clip()
    for (const [row, y] of seen) if (!row.head) this.paintBars(ink, colors, row, y, { begin, end, x, names })
    if (limit !== null) {
      ink.fillStyle = colors.accent
      ink.fillRect(x(limit) - 0.5, AXIS, 1.5, height)
    }
    ink.restore()
    if (this.brush) {
      ink.fillStyle = colors.accent
      ink.globalAlpha = 0.18
      ink.fillRect(Math.min(...this.brush), AXIS, Math.abs(this.brush[1] - this.brush[0]), height)
      ink.globalAlpha = 1
    }
  }

  paintAxis(ink, colors, { begin, end, x, width, height, names }) {
    const zero = this.timeline.begin ?? begin
    const step = niceStep((end - begin) / Math.max(2, (width - names) / 110))
    ink.font = '11px ui-monospace, Menlo, Consolas, monospace'
    ink.textBaseline = 'middle'
    ink.fillStyle = colors.dim
    ink.strokeStyle = colors.line
    ink.lineWidth = 1
    for (let n = Math.ceil((begin - zero) / step); zero + n * step <= end; n += 1) {
      const at = Math.round(x(zero + n * step)) + 0.5
      if (at < names) continue
      ink.beginPath()
      ink.moveTo(at, AXIS - 6)
      ink.lineTo(at, height)
      ink.stroke()
      ink.fillText(`+${shortTime(n * step, step)}`, at + 4, AXIS / 2)
    }
  }

  paintHead(ink, colors, row, y, width) {
    ink.fillStyle = colors.line
    ink.fillRect(0, Math.round(y) + 0.5, width, 1)
    ink.fillStyle = colors.dim
    ink.font = '600 11px system-ui, sans-serif'
    ink.fillText(oneLine(row.head, 60), 8, y + row.h / 2 + 1)
  }

  paintName(ink, colors, row, y, { names, width }) {
    const chosen = row.agents.some((agent) => agent.id === this.selected)
    if (chosen) {
      ink.fillStyle = colors.accent
      ink.globalAlpha = 0.16
      ink.fillRect(0, y, width, row.h)
      ink.globalAlpha = 1
    }
    if (names && row.h >= 9) {
      ink.fillStyle = chosen ? colors.accent : colors.text
      ink.font = `${Math.min(11.5, row.h - 1)}px ui-monospace, Menlo, Consolas, monospace`
      ink.fillText(oneLine(row.name, 22), 16, y + row.h / 2 + 0.5)
    }
  }

  paintBars(ink, colors, row, y, { begin, end, x, names }) {
    const inside = row.h >= 9 ? 2 : row.h >= 6 ? 1 : row.h >= 3 ? 0.5 : 0.1
    const top = y + inside
    const tall = Math.max(1, row.h - 2 * inside)
    const limit = this.cursor ?? this.now
    for (const lane of row.lanes) this.paintLane(ink, colors, lane, top, tall, { begin, end, x, limit })
    for (const agent of row.agents) this.paintEnd(ink, colors, agent, top, tall, x, names, limit)
  }

  paintLane(ink, colors, lane, top, tall, { begin, end, x, limit }) {
    const bars = lane.bars
    let n = firstBehind(bars, begin)
    let kind = ''
    let from = 0
    let to = 0
    const flush = () => {
      if (!kind) return
      this.drawn += 1
      const thin = kind === 'queued'
      ink.fillStyle = colors[kind]
      ink.fillRect(from, thin ? top + tall / 2 - 0.75 : top, Math.max(0.75, to - from), thin ? 1.5 : tall)
      kind = ''
    }
    const put = (each, start, stop) => {
      const a = x(start)
      const b = x(stop)
      if (kind === each && a - to < 0.6) {
        to = Math.max(to, b)
      } else if (kind && kind !== 'queued' && b - a < 0.4 && a - to < 0.4) {
        to = Math.max(to, b)
      } else {
        flush()
        kind = each
        from = a
        to = b
      }
    }
    for (; n < bars.length && bars[n].start < end && bars[n].start < limit; n += 1) put(bars[n].kind, bars[n].start, Math.min(bars[n].end, limit))
    if (lane.doing && lane.since < limit) put(lane.doing, lane.since, limit)
    flush()
  }

  paintEnd(ink, colors, agent, top, tall, x, names, limit) {
    if (agent.finishedAt === null || agent.finishedAt > limit) return
    const at = x(agent.finishedAt)
    if (at < names) return
    const bad = !agent.good
    if (!bad && tall < 6) return
    const more = tall < 4 ? 1 : 0.5
    ink.fillStyle = bad ? colors.bad : agent.outcome === 'reused' ? colors.reused : colors.ok
    ink.fillRect(at - 1, top - (bad ? more : 0), bad ? 4 : 2.5, tall + (bad ? 2 * more : 0))
  }

  // --- pointer and keys --------------------------------------------------------------------------------------------

  listen() {
    const box = this.box
    let from = null
    box.addEventListener('wheel', (event) => {
      event.preventDefault()
      if (event.ctrlKey || event.metaKey) this.zoom(Math.exp(event.deltaY * 0.004), event.offsetX)
      else if (Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey) this.pan((event.deltaX || event.deltaY) / this.pixels())
      else if (this.total > box.clientHeight - AXIS) (this.scroll += event.deltaY), this.draw()
      else this.zoom(Math.exp(event.deltaY * 0.003), event.offsetX)
    }, { passive: false })
    box.addEventListener('pointerdown', (event) => {
      from = { x: event.offsetX, y: event.offsetY, scroll: this.scroll, range: [...this.span()], brush: event.shiftKey, moved: false }
      box.setPointerCapture(event.pointerId)
    })
    box.addEventListener('pointermove', (event) => {
      if (!from) return this.hover(event)
      const dx = event.offsetX - from.x
      if (Math.abs(dx) + Math.abs(event.offsetY - from.y) > 4) from.moved = true
      if (from.brush) this.brush = [from.x, event.offsetX]
      else if (from.moved) {
        const shift = dx / this.pixels()
        this.range = [from.range[0] - shift, from.range[1] - shift]
        this.scroll = from.scroll - (event.offsetY - from.y)
      }
      this.draw()
    })
    box.addEventListener('pointerup', (event) => {
      if (from?.brush && this.brush) {
        const times = this.brush.map((each) => this.timeAt(each)).sort((a, b) => a - b)
        if (times[1] - times[0] > 0.001) this.range = times
      } else if (from && !from.moved) {
        const row = this.rowAt(event.offsetY)
        if (row) this.choose(this.agentIn(row, this.timeAt(event.offsetX))?.id ?? row.agents[0]?.id)
      }
      this.brush = null
      from = null
      this.draw()
    })
    box.addEventListener('pointerleave', () => (this.tip.hidden = true))
    box.addEventListener('dblclick', () => this.fit())
  }

  pixels() {
    const [begin, end] = this.span()
    return (this.box.clientWidth - (this.left ?? 0)) / (end - begin)
  }

  timeAt(x) {
    return this.span()[0] + (x - (this.left ?? 0)) / this.pixels()
  }

  rowAt(y) {
    return this.rows.find((row) => !row.head && y - AXIS + this.scroll >= row.y && y - AXIS + this.scroll < row.y + row.h)
  }

  agentIn(row, at) {
    return row.agents.find((agent, n) => row.lanes[n] && (row.lanes[n].begin ?? Infinity) <= at && (agent.finishedAt ?? Infinity) >= at)
  }

  zoom(factor, x = (this.box.clientWidth + (this.left ?? 0)) / 2) {
    const [begin, end] = this.span()
    const at = this.timeAt(Math.max(x, this.left ?? 0))
    const next = [at - (at - begin) * factor, at + (end - at) * factor]
    this.range = next[1] - next[0] < 0.01 ? [begin, end] : next
    this.draw()
  }

  pan(seconds) {
    const [begin, end] = this.span()
    this.range = [begin + seconds, end + seconds]
    this.draw()
  }

  hover(event) {
    const row = this.rowAt(event.offsetY)
    const at = this.timeAt(event.offsetX)
    if (!row || event.offsetY < AXIS) return (this.tip.hidden = true)
    const agent = this.agentIn(row, at) ?? (row.agents.length === 1 ? row.agents[0] : null)
    const lane = agent ? this.timeline.lanes.get(agent.id) : row.lanes[0]
    const bar = lane && barAt(lane, at, this.now)
    const facts = bar ? `${bar.kind === 'limited' ? STATES.held : STATES[bar.kind] ?? bar.kind} ${duration(bar.end - bar.start)}${bar.label ? `: ${oneLine(bar.label, 80)}` : ''}` : ''
    this.tip.replaceChildren(
      h('b', null, oneLine(agent ? agent.label || agent.id : row.name, 60)),
      h('span', null, agent ? `${agent.id} · ${STATES[stateOf(agent, this.timeline.doing(agent.id))]} · ${clock(at)}` : clock(at)),
      ...(facts ? [h('span', null, facts)] : []))
    this.tip.hidden = false
    const width = this.box.clientWidth
    this.tip.style.setProperty('left', `${Math.min(event.offsetX + 14, width - 300)}px`)
    this.tip.style.setProperty('top', `${Math.min(event.offsetY + 14, this.box.clientHeight - 70)}px`)
    return undefined
  }
}

function phaseRows(view, timeline, match) {
  const groups = new Map([...view.phases.keys()].map((title) => [title, []]))
  for (const agent of view.own()) {
    if (!match(agent)) continue
    const phase = agent.phase ?? '(no phase)'
    if (!groups.has(phase)) groups.set(phase, [])
    groups.get(phase).push(agent)
  }
  const counted = new Set(view.counted())
  const rows = [...peopleRows(view, timeline)]
  for (const [title, agents] of groups) {
    if (!agents.length) continue
    const count = agents.filter((agent) => counted.has(agent))
    rows.push({ head: `${title}  ${count.filter((agent) => agent.good).length}/${count.length}`, agents: [], lanes: [] })
    for (const agent of agents) {
      const lane = timeline.lanes.get(agent.id)
      rows.push({ name: agent.label || agent.id, agents: [agent], lanes: lane ? [lane] : [] })
    }
  }
  return rows
}

function slotRows(view, timeline, match, now) {
  const slots = []
  const work = view.own().filter(match).map((agent) => [agent, timeline.lanes.get(agent.id)])
    .map(([agent, lane]) => [agent, lane, lane && firstWork(lane)]).filter(([, , begin]) => begin !== null && begin !== undefined)
    .sort((a, b) => a[2] - b[2])
  for (const [agent, lane, begin] of work) {
    let slot = slots.find((each) => each.until <= begin)
    if (!slot) {
      slot = { name: `slot ${slots.length + 1}`, agents: [], lanes: [], until: 0 }
      slots.push(slot)
    }
    slot.agents.push(agent)
    slot.lanes.push({ ...lane, bars: lane.bars.filter((bar) => bar.kind !== 'queued'), doing: lane.doing === 'queued' ? '' : lane.doing, begin })
    slot.until = agent.finishedAt ?? (lane.doing ? now : lane.bars.at(-1)?.end ?? begin)
  }
  return [...peopleRows(view, timeline), { head: `${slots.length} slots`, agents: [], lanes: [] }, ...slots]
}

function firstWork(lane) {
  const bar = lane.bars.find((each) => each.kind !== 'queued')
  return bar ? bar.start : lane.doing && lane.doing !== 'queued' ? lane.since : null
}

function peopleRows(view, timeline) {
  if (!view.gates.size) return []
  const lanes = [...view.gates.keys()].map((id) => timeline.lanes.get(id)).filter(Boolean)
  return [{ head: 'People', agents: [], lanes: [] }, { name: 'questions', agents: [], lanes }]
}

function firstBehind(bars, at) {
  let low = 0
  let high = bars.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (bars[middle].end <= at) low = middle + 1
    else high = middle
  }
  return low
}

function barAt(lane, at, now) {
  const bar = lane.bars[firstBehind(lane.bars, at)]
  if (bar && bar.start <= at) return bar
  return lane.doing && lane.since <= at ? { kind: lane.doing, start: lane.since, end: now, label: lane.label } : null
}

function niceStep(least) {
  for (const step of [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400]) {
    if (step >= least) return step
  }
  return Math.ceil(least / 86400) * 86400
}

function shortTime(seconds, step) {
  if (step < 1) return `${seconds.toFixed(step < 0.01 ? 3 : step < 0.1 ? 2 : 1)}s`
  if (seconds < 120 && step < 60) return `${Math.round(seconds)}s`
  const minutes = Math.floor(seconds / 60)
  const rest = Math.round(seconds % 60)
  return minutes < 60 ? `${minutes}m${rest ? String(rest).padStart(2, '0') : ''}` : `${Math.floor(minutes / 60)}h${String(minutes % 60).padStart(2, '0')}`
}
