// The slider through the history of a run: what is shown is then the run as it was, and a fork can begin there.

import { h, setText } from './dom.js'

export const PAINT_MS = 100 // ten repaints a second, at most
export const SPEEDS = [1, 5, 20, 100]
const STEPS_OF_SLIDER = 10000

export class Scrubber {
  // `goTo(seq)` shows another point (null: the newest), `fork()` asks for a fork from the one that is shown.
  constructor(history, { goTo, fork, dirty, speed }) {
    Object.assign(this, { history, goTo, dirty, speed: SPEEDS.includes(speed) ? speed : 20, player: 0, seq: null })
    this.slider = h('input', { type: 'range', min: '0', max: String(STEPS_OF_SLIDER), value: String(STEPS_OF_SLIDER), 'aria-label': 'Place in the history of the run' })
    this.slider.addEventListener('input', () => {
      this.pause()
      const place = (Number(this.slider.value) / STEPS_OF_SLIDER) * history.length
      goTo(Number(this.slider.value) >= STEPS_OF_SLIDER ? null : history.seqAt(place))
    })
    this.density = h('canvas', { 'aria-hidden': 'true' })
    this.playButton = h('button.icon', { type: 'button', title: 'Play the history (Space)', 'aria-label': 'Play', onclick: () => this.toggle() }, '▶')
    this.speedButton = h('button.quiet.speed', { type: 'button', title: 'Speed of the replay', onclick: () => ((this.speed = SPEEDS[(SPEEDS.indexOf(this.speed) + 1) % SPEEDS.length]), dirty()) })
    this.liveButton = h('button.quiet', { type: 'button', title: 'Go to the newest event (l)', onclick: () => (this.pause(), goTo(null)) })
    this.forkButton = fork ? h('button.quiet', { type: 'button', title: 'Start a new run that reuses everything up to here (F)', onclick: fork }, 'Fork from here') : null
    this.place = h('span.place')
    this.node = h('footer.scrubber', null, this.playButton, this.speedButton, h('.track', null, this.density, this.slider), this.place, this.forkButton, this.liveButton)
  }

  toggle() {
    if (this.player) return this.pause()
    const { history } = this
    let place = this.seq === null ? 0 : history.axis[this.seq - 1] ?? 0
    let last = performance.now()
    this.player = setInterval(() => {
      const now = performance.now()
      place += ((now - last) / 1000) * this.speed
      last = now
      if (place >= history.length) return this.pause(), this.goTo(null)
      return this.goTo(history.seqAt(place))
    }, PAINT_MS)
    this.goTo(history.seqAt(place))
    return this.dirty()
  }

  pause() {
    clearInterval(this.player)
    this.player = 0
    this.dirty()
  }

  show(seq, live, status) {
    this.seq = seq
    const { history } = this
    const total = history.events.length
    const place = seq === null ? STEPS_OF_SLIDER : Math.round((STEPS_OF_SLIDER * history.axis[Math.min(seq, total) - 1]) / (history.length || 1))
    if (document.activeElement !== this.slider || this.player || seq === null) this.slider.value = String(place)
    setText(this.place, `${(seq ?? total).toLocaleString('en')} / ${total.toLocaleString('en')}`)
    setText(this.playButton, this.player ? '‖' : '▶')
    setText(this.speedButton, `×${this.speed}`)
    setText(this.liveButton, live ? '● live' : '⇥ end')
    this.liveButton.classList.toggle('on', seq === null && Boolean(live))
    this.paintDensity(total)
    this.slider.setAttribute('aria-valuetext', `event ${seq ?? total} of ${total}, ${status}`)
  }

  // How much happened when, behind the slider; what went wrong stands out.
  paintDensity(total) {
    const width = this.density.clientWidth
    const height = this.density.clientHeight
    const key = `${total}|${width}|${document.documentElement.dataset.theme}`
    if (!width || key === this.densityKey) return
    this.densityKey = key
    const { events, axis, length } = this.history
    const bins = new Float32Array(Math.ceil(width / 4))
    const bad = new Uint8Array(bins.length)
    events.forEach((event, n) => {
      const bin = Math.min(bins.length - 1, Math.floor((axis[n] / (length || 1)) * bins.length))
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
}
