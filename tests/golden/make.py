"""Records the golden journals of a release. Run it once a release, and never change the old ones.

`whole` is a run with every kind of event that can be had without a provider; `cut` was killed in its middle.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from counterpoint.version import VERSION

HERE = Path(__file__).parent
CHILD = """export const meta = { name: 'child', description: 'a part' }
return [await agent(`child ${args.n}`), 'x'.repeat(70000)]
"""
WHOLE = """export const meta = {
  name: 'whole', description: 'every kind of event', phases: [{ title: 'A' }, { title: 'B' }],
}
phase('A')
log('begins')
console.warn('a warning')
const SCHEMA = { type: 'object', properties: { ok: { type: 'boolean' } }, required: ['ok'] }
const many = await parallel(Array.from({ length: 8 }, (_, i) => () =>
  agent(`task ${i}`, { schema: SCHEMA, label: `t${i}`, lable: 1 })))
const broken = await parallel([
  () => undefinedName, () => { throw new Error('a slot') }, () => agent('x', { schema: { type: 'string' } }),
])
await new Promise((resolve) => setTimeout(resolve, 5))
const [said, long] = await workflow({ scriptPath: 'child.js' }, { n: 1 })
const listed = await counterpoint.tool('Glob', { pattern: '*.js' })
phase('B')
const yes = await counterpoint.checkpoint('Go on?', { options: [true, false] })
const last = await agent('the last')
counterpoint.fail(last, 'for the record')
return { many, broken, said, long: long.length, listed, yes, last, chance: Math.random(), at: Date.now() > 0 }
"""
CUT = """export const meta = { name: 'cut', description: 'killed in its middle' }
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const race = await Promise.race([agent('the quick one').then(() => 'agent'), wait(60000).then(() => 'timer')])
const many = await parallel(Array.from({ length: 20 }, (_, i) => () => agent(`task ${i}`)))
return { race, many, chance: Math.random() }
"""


def counterpoint(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "counterpoint", *arguments, "--state", str(folder / "state")]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout


def shown(folder: Path) -> Any:
    return json.loads(counterpoint(folder, "show", "@last", "--json") or "{}")


def record_whole(folder: Path) -> None:
    arguments = ("--model", "sim:latency=400ms", "--concurrency", "4", "--budget", "100k", "--budget", "20k/agent")
    counterpoint(folder, "run", "whole.js", *arguments, "--detach")
    while not shown(folder).get("agents", {}).get("ok"):
        pass
    counterpoint(folder, "steer", "@last", "t7", "mind the gap")
    counterpoint(folder, "skip", "@last", "t6")
    counterpoint(folder, "pause", "@last", "--stay")
    counterpoint(folder, "resume", "@last")
    while not shown(folder).get("gates"):
        pass
    counterpoint(folder, "approve", "@last", "g1")
    while shown(folder)["status"] in ("running", "waiting"):
        pass
    counterpoint(folder, "resume", "@last")


def record_cut(folder: Path) -> None:
    command = [sys.executable, "-m", "counterpoint", "run", "cut.js", "--model", "sim:latency=1s", "-c", "4"]
    process = subprocess.Popen([*command, "--state", str(folder / "state")], cwd=folder, stderr=subprocess.DEVNULL)
    while shown(folder).get("agents", {}).get("ok", 0) < 6:
        time.sleep(0.01)
    process.kill()
    process.wait()


def keep(folder: Path, name: str) -> None:
    target = HERE / VERSION / name
    shutil.rmtree(target, ignore_errors=True)
    (run,) = (folder / "state" / "runs").iterdir()
    counterpoint(folder, "ps")  # whoever reads a journal that was left open, closes it
    (target).mkdir(parents=True)
    for script in folder.glob("*.js"):
        shutil.copy(script, target)
    (target / "events.jsonl").write_text(counterpoint(folder, "export", "@last", "--jsonl"))
    document = shown(folder)
    (target / "show.json").write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
    shutil.copytree(run, target / run.name, ignore=shutil.ignore_patterns("process.log", "*-shm"))


def main() -> None:
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    for name, script, record in (("whole", WHOLE, record_whole), ("cut", CUT, record_cut)):
        with tempfile.TemporaryDirectory(prefix="golden-") as made:
            folder = Path(made)
            (folder / f"{name}.js").write_text(script)
            if name == "whole":
                (folder / "child.js").write_text(CHILD)
            record(folder)
            keep(folder, name)


if __name__ == "__main__":
    main()
