"""How long a frame of the page's timeline takes: 300 agents with more than 10,000 bars, in headless Chromium.

    python benchmarks/canvas.py [--frames 60]

Each frame is drawn because of a real event (wheel, pointer), and is read back, so that drawing to the end is in its
time. The floor is an empty canvas of the same size, cleared and read back in the same page. At 60 frames a second a
frame has 16.7 ms.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.e2e.conftest import Program
from tests.web.browser import Browser
from tests.web.conftest import start
from tests.web.journals import record

AGENTS, SPANS = 300, 40
MEASURE = """
const frames = arguments[0]
window.measured = null
const box = document.querySelector('#pane-timeline .canvas-box')
const canvas = box.querySelector('canvas')
const empty = document.createElement('canvas')
empty.width = canvas.width
empty.height = canvas.height
const readBack = (each) => each.getContext('2d').getImageData(0, 0, 1, 1)
const middle = { x: box.clientWidth / 2, y: box.clientHeight / 2 }
const place = box.getBoundingClientRect()
const event = (kind, type, x, y, more = {}) => {
  const where = { clientX: place.left + x, clientY: place.top + y, pointerId: 1 }
  box.dispatchEvent(new kind(type, { bubbles: true, cancelable: true, ...where, ...more }))
}
const swing = (n) => (n % 20 < 10 ? n % 20 : 20 - (n % 20))
box.setPointerCapture = () => null // events of a program have no pointer to capture
const acts = {
  floor: () => requestAnimationFrame(() => empty.getContext('2d').clearRect(0, 0, empty.width, empty.height)),
  zoom: (n) => event(WheelEvent, 'wheel', middle.x, middle.y, { deltaY: n % 20 < 10 ? -60 : 60, ctrlKey: true }),
  pan: (n) => event(WheelEvent, 'wheel', middle.x, middle.y, { deltaX: n % 20 < 10 ? 30 : -30 }),
  drag: (n) => event(PointerEvent, 'pointermove', middle.x + swing(n) * 12, middle.y),
}
const frame = (act, n, which) => new Promise((done) => {
  let begin = 0
  requestAnimationFrame(() => (begin = performance.now()))
  act(n)
  requestAnimationFrame(() => {
    readBack(which)
    done(performance.now() - begin)
  })
})
const at = (sorted, part) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))]
const run = async () => {
  const found = {}
  for (const [name, act] of Object.entries(acts)) {
    if (name === 'drag') event(PointerEvent, 'pointerdown', middle.x, middle.y)
    const times = []
    for (let n = 0; n < frames; n += 1) times.push(await frame(act, n, name === 'floor' ? empty : canvas))
    if (name === 'drag') event(PointerEvent, 'pointerup', middle.x, middle.y)
    times.sort((a, b) => a - b)
    found[name] = { median: at(times, 0.5), p95: at(times, 0.95), most: times.at(-1) }
  }
  window.measured = found
}
run().catch((error) => (window.measured = { error: String(error) }))
"""


def measure(frames: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        program = Program(Path(folder))
        run_id = record(program, agents=AGENTS, spans=SPANS)
        served = start(program)
        browser = Browser(Path(folder))
        try:
            browser.open(served.url)
            browser.wait("document.querySelector('.brand')")
            browser.open(f"{served.base}/#/run/{run_id}")
            browser.wait("window.counterpoint?.ready && counterpoint.document().status === 'partial'")
            bars = browser.run("return counterpoint.bars().reduce((sum, [, , bars]) => sum + bars.length, 0)")
            browser.run(MEASURE, frames)
            found = browser.wait("window.measured", seconds=300)
            return {"bars": bars, **found}
        finally:
            browser.close()
            served.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=60)
    found = measure(parser.parse_args().frames)
    floor = found["floor"]["median"]
    print(f"{AGENTS} agents, {found.pop('bars'):,} bars")
    for name, times in found.items():
        shown = {key: round(value, 2) for key, value in times.items()}
        print(f"{name:6} ms {json.dumps(shown)}  {times['median'] / max(floor, 0.01):.1f} times the floor")


if __name__ == "__main__":
    main()
