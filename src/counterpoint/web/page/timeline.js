// Timeline: the fold of a run's events into bars, one lane an agent. The rules are those of `timeline.py`.

const TOOL_NAMES = /^[\w.:-]+(?:, [\w.:-]+)*$/

class Lane {
  constructor(id) {
    this.id = id
    this.bars = []
    this.doing = ''
    this.since = 0
    this.label = ''
    this.until = 0
    this.toolsOpen = 0
  }

  turnTo(kind, at, label = '') {
    if (this.doing === 'limited' && this.until < at) {
      this.close('limited', this.since, this.until)
      this.doing = 'model'
      this.since = this.until
      this.label = ''
    }
    if (this.doing) this.close(this.doing, this.since, at)
    this.doing = kind
    this.since = at
    this.label = label
  }

  close(kind, start, end) {
    if (end > start) this.bars.push({ kind, start, end, label: this.label })
  }

  get begin() {
    return this.bars.length ? this.bars[0].start : this.doing ? this.since : null
  }
}

export class Timeline {
  constructor() {
    this.lanes = new Map()
    this.begin = null
    this.end = 0
    this.gone = false // whether the process behind it is: what was at work is cut off
  }

  apply(event) {
    this.begin ??= event.at
    STEPS[event.type]?.(this, event, event.at)
    if (event.type !== 'run_tagged') this.end = Math.max(this.end, event.at)
  }

  lane(id) {
    if (!this.lanes.has(id)) this.lanes.set(id, new Lane(id))
    return this.lanes.get(id)
  }

  doing(agent) {
    const doing = this.lanes.get(agent)?.doing ?? ''
    return doing && this.gone ? 'gone' : doing
  }
}

const STEPS = {
  agent_queued: (line, event, at) => line.lane(event.agent).turnTo('queued', at),
  agent_started: (line, event, at) => line.lane(event.agent).turnTo('model', at),
  agent_turned(line, event, at) {
    const lane = line.lane(event.agent)
    const note = event.note ?? ''
    lane.toolsOpen = TOOL_NAMES.test(note) ? note.split(', ').length : 0
    lane.turnTo(lane.toolsOpen ? 'tool' : 'model', at, note)
  },
  agent_compacted: (line, event, at) => line.lane(event.agent).turnTo('model', at, 'made room in its context'),
  tool_used(line, event, at) {
    const lane = line.lanes.get(event.agent)
    if (!lane) return
    lane.toolsOpen -= 1
    if (lane.doing === 'tool' && lane.toolsOpen <= 0) lane.turnTo('model', at)
  },
  agent_retried(line, event, at) {
    const lane = line.lane(event.agent)
    lane.turnTo('limited', at, event.fault.message.slice(0, 200))
    lane.until = at + (event.wait ?? 0)
  },
  agent_finished: (line, event, at) => line.lane(event.agent).turnTo('', at),
  agent_reused: (line, event) => line.lane(event.agent),
  gate_opened: (line, event, at) => line.lane(event.gate).turnTo('human', at, event.question.slice(0, 200)),
  gate_answered: (line, event, at) => line.lane(event.gate).turnTo('', at),
  run_forked(line, event, at) {
    line.lanes.clear() // what came before was done elsewhere
    line.begin = at
  },
  run_started(line) {
    for (const lane of line.lanes.values()) lane.turnTo('', line.end)
  },
}
