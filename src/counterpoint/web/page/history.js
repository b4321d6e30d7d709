// The events of a run, and its fold at any point of them.

import { RunView } from './fold.js'
import { Timeline } from './timeline.js'

const GAP_S = 5 // replay passes over longer silence

export class History {
  constructor() {
    this.events = []
    this.axis = [] // of each event: its place on the scrubber, in seconds
    this.past = null
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
