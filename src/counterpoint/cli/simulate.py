"""``simulate``: what a workflow will need, found by running it with agents that only act."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec

from counterpoint.ceilings import read_budgets
from counterpoint.cli.arguments import fitting, read_args
from counterpoint.cli.options import Output, asynchronous, common, session
from counterpoint.cli.run import script_folder
from counterpoint.client import Client, load_script
from counterpoint.errors import UsageError
from counterpoint.events import Usage
from counterpoint.lead import picture
from counterpoint.lead.estimate import Estimate, Past, Range, learn
from counterpoint.models.registry import PROVIDERS, Models
from counterpoint.script import Script
from counterpoint.script.find import find
from counterpoint.script.shape import Shape, shape_of
from counterpoint.settings import Settings
from counterpoint.simulation import Price, Setting
from counterpoint.simulation import simulate as simulate_script
from counterpoint.text import count, duration, money, one_line, safe

MOST_PAST = 20
"""Past runs that an estimate learns from, the newest first."""
SHOWN = 8


@click.command()
@click.argument("script")
@click.option("--args", "args_", metavar="JSON|@FILE|-", help="What the script sees as `args`.")
@click.option("--runs", type=click.IntRange(1, 50), default=3, help="Usual runs, each under a seed of its own.")
@click.option("--model", "-m", metavar="PROVIDER:NAME", help="The model that the real run would have.")
@click.option("--base-url", help="Address of the provider; nothing is sent to it.")
@click.option("--budget", multiple=True, metavar="500k|$5", help="Ceiling to hold the worst case against.")
@click.option("--max-agents", type=int, help="Cap on agents.")
@click.option("--concurrency", "-c", type=int, help="Agents at work at once (1 to 1000).")
@click.option("--cwd", type=click.Path(path_type=Path, exists=True, file_okay=False), help="The run's folder.")
@click.option("--svg", type=click.Path(path_type=Path, dir_okay=False), help="Write the picture of the phases here.")
@common
@asynchronous
async def simulate(
    script: str, args_: str | None, runs: int, budget: tuple[str, ...], cwd: Path | None, svg: Path | None,
    output: Output, state: Path | None, **flags: Any,
) -> int:  # fmt: skip
    """Say what a workflow will need: agents, tokens, money and time as ranges. No model is called.

    The script runs with agents that only act: as usual, with nothing found, with much, with agents that fail.
    Tools that only read are really used; nothing is changed, and no run is recorded.
    """
    folder = (cwd or Path.cwd()).resolve()
    flags |= read_budgets(budget)
    async with session(state, folder, **flags) as here, Models(here.settings) as models:
        text = await load_script(find(script, script_folder(script, folder)), portable=here.settings.portable)
        args = read_args(args_)
        fitting(text, args, output)
        found = await estimated(here.client, text, here.settings, models, folder, args, runs=runs)
        shape = shape_of(text.source, text.meta)
        if svg is not None:
            await asyncio.to_thread(svg.write_text, picture.svg(text.meta.name, shape, found.phases), encoding="utf-8")
        if output.json:
            output.document(document(text, models.default(here.settings.model), shape, found))
        else:
            click.echo(rendered(text, models.default(here.settings.model), shape, found))
    return 0 if found.sound else 1


async def estimated(
    client: Client,
    script: Script,
    settings: Settings,
    models: Models,
    folder: Path,
    args: bytes | None,
    *,
    runs: int = 3,
) -> Estimate:
    """The estimate for a script, with what past runs of it in this store tell."""
    simulated = models.default(settings.model).partition(":")[0] == "sim"
    past = await past_of(client, script.meta.name, folder, args, simulated=simulated)
    setting = Setting(
        script=script, cwd=folder, models=models, settings=settings, args=args, past=past, price=price_by(models)
    )
    return await simulate_script(setting, runs=runs)


async def past_of(client: Client, name: str, folder: Path, args: bytes | None, *, simulated: bool) -> Past:
    """What past runs of the workflow tell; simulated ones tell only about simulated ones."""
    given = msgspec.json.decode(args) if args is not None else None
    same = [summary.run_id for summary in await client.runs() if summary.name == name][:MOST_PAST]
    views = [await client.view(run_id) for run_id in same]
    views = [view for view in views if view.simulated is simulated]
    here = [view for view in views if view.cwd == str(folder)]
    alike = {view.run_id for view in here if await client.value(view.run_id, view.args) == given}
    return learn(views, alike=alike)


def price_by(models: Models) -> Price:
    """Prices as the models know them; for a model that cannot be asked here (no key, say), as the list has them."""
    listed: dict[str, Callable[[Usage], float | None]] = {}

    def price(spec: str, usage: Usage) -> float | None:
        if spec not in listed:
            listed[spec] = _cost(models, spec)
        return listed[spec](usage)

    return price


def _cost(models: Models, spec: str) -> Callable[[Usage], float | None]:
    try:
        return models.get(spec).cost
    except UsageError:
        from counterpoint.models.prices import cost_of

        name, _, model = spec.partition(":")
        provider = PROVIDERS.get(name)
        return cost_of(provider.prices if provider else None, model)


def document(script: Script, model: str, shape: Shape, found: Estimate) -> dict[str, Any]:
    """The JSON of an estimate."""
    return {
        "schema_version": 1, "name": script.meta.name, "script": script.path, "model": model, "sound": found.sound,
        **found.document(),
        "shape": [
            {"phase": c.phase, "kind": c.kind, "label": c.label, "line": c.line, "around": list(c.around)}
            for c in shape.calls
        ],
    }  # fmt: skip


def rendered(script: Script, model: str, shape: Shape, found: Estimate) -> str:
    """An estimate as people read it."""
    usd = "price unknown" if found.usd is None else _range(found.usd, money)
    lines = [
        picture.text(f"{script.meta.name}: {script.meta.description}", shape, found.phases),
        "",
        f"agents   {_range(found.agents, '{:,.0f}'.format)}",
        f"tokens   {_range(found.input_tokens, count)} in; {_range(found.output_tokens, count)} out",
        f"money    {usd}",
        f"time     {_range(found.wall_s, duration)}",
        f"model    {safe(', '.join(found.models) or model)}",
        f"from     {len(found.runs)} simulated runs{_learned(found)}",
    ]
    lines += _list("tools", found.tools) + _list("paths", found.paths) + _list("asks you", found.gates)
    lines += [f"caution: {safe(text)}" for text in found.against_caps]
    lines += [f"problem: {safe(text)}" for text in found.problems[:SHOWN]]
    lines += [f"weak: {safe(text)}" for text in found.weak_points[:SHOWN]]
    return "\n".join(lines)


def _learned(found: Estimate) -> str:
    if found.past:
        alike = f"{found.alike} of them" if found.alike else "none of them"
        return f" and {found.past} past runs, {alike} with these arguments in this folder"
    return "; no past run of this workflow is known here, so what an agent consumes is assumed"


def _range(given: Range, shown: Callable[[float], str]) -> str:
    if given.low == given.high:
        return shown(given.low)
    return f"{shown(given.low)} to {shown(given.high)}, likely {shown(given.likely)}"


def _list(word: str, values: tuple[str, ...]) -> list[str]:
    if not values:
        return []
    more = f" and {len(values) - SHOWN} more" if len(values) > SHOWN else ""
    return [f"{word:8} {', '.join(one_line(value, 60) for value in values[:SHOWN])}{more}"]
