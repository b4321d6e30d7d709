"""Agents that only act: what an agent of a scenario answers to its task, and what that would cost and take.

No model is called. An answer depends on the scenario, the call's identity, the prompt and the schema alone. What an
agent consumes is drawn from past runs of the same workflow where there are any, else from `ASSUMED`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import msgspec

from counterpoint.agents import prompts
from counterpoint.agents.task import AgentResult, AgentTask
from counterpoint.events import Fault, Outcome, Usage
from counterpoint.lead.scenarios import Level, Scenario
from counterpoint.models.conform import Dice, conform

CHARS_PER_TOKEN = 4
TOOL_TOKENS = 1200
"""The descriptions of its tools."""
MANY = 8
"""Items of a long list, where the schema sets no bound."""
MOST = 40
"""Items of a list, whatever the schema allows."""


@dataclass(frozen=True, slots=True)
class Observed:
    """What one agent of a past run consumed."""

    input_tokens: int
    output_tokens: int
    seconds: float
    turns: int = 1


@dataclass(frozen=True, slots=True)
class Assumed:
    """What is assumed of an agent of which nothing is known."""

    text_tokens: int
    """Of an answer without a schema."""
    thinking_tokens: int
    tokens_per_s: float
    wait_s: float
    """Until a request's first token."""
    turns: int
    """Of an agent with tools."""
    turn_tokens: int
    """What each tool result adds to the conversation."""


ASSUMED: Mapping[Level, Assumed] = {
    "low": Assumed(120, 0, 90, 1.0, 1, 300),
    "usual": Assumed(450, 150, 60, 4.0, 3, 2_500),
    "high": Assumed(1_500, 900, 30, 15.0, 9, 6_000),
}


@dataclass(frozen=True, slots=True)
class Performance:
    """What came of a task, and the seconds that it takes."""

    result: AgentResult
    seconds: float


@dataclass(frozen=True, slots=True)
class Cast:
    """All agents of one simulated run."""

    scenario: Scenario
    past: Mapping[str | None, Sequence[Observed]] = field(default_factory=dict[str | None, Sequence[Observed]])
    """Phase → what its agents consumed in past runs."""
    plain: bool = False
    """The agents of the real run are simulated too: their answers are all that they consume."""

    def perform(self, task: AgentTask) -> Performance:
        """What this agent does."""
        scenario = self.scenario
        about = "" if scenario.repeats else f"\0{task.key}\0{task.prompt}"
        dice = Dice(f"{scenario.seed}{about}")
        lot = Dice(f"{scenario.seed}\0{task.key}\0{task.prompt}\0lot").below(1_000_000) / 1_000_000
        if lot < scenario.fails:
            fault = Fault("ProviderError", "Simulated: the provider failed for good.", kind="rejected")
            return Performance(AgentResult(Outcome.FAILED, fault=fault, turns=1), 1.0)
        value = self._value(task, dice)
        usage, seconds, turns = self._consumed(task, value, dice)
        if task.schema is not None and lot < scenario.fails + scenario.invalid:
            fault = Fault("StructuredOutputError", "Simulated: the answer never fitted its schema.")
            raw = msgspec.json.encode("no JSON, however often it is asked")
            return Performance(AgentResult(Outcome.INVALID, raw=raw, fault=fault, usage=usage, turns=3), seconds)
        return Performance(
            AgentResult(Outcome.OK, value, usage=usage, model=f"{task.model} (simulated)", turns=turns), seconds
        )

    def _told(self, task: AgentTask) -> str:
        """What the agent is told besides its prompt."""
        form = prompts.form(task.schema is not None, "native" if self.plain else "tool", not self.plain)
        return prompts.system_prompt(form, task.system, None if self.plain or task.tools == [] else task.cwd)

    def _value(self, task: AgentTask, dice: Dice) -> bytes:
        if task.schema is None:
            length = 0 if self.scenario.lists == "none" else self._text_length(dice)
            return msgspec.json.encode(_prose(task.prompt, dice, length))
        shaped = shape(task.schema, self.scenario, dice)
        ground = Ground(task.prompt, Path(task.cwd), self.scenario, dice)
        return msgspec.json.encode(ground.stand(conform(shaped, dice), shaped))

    def _text_length(self, dice: Dice) -> int:
        return 60 if self.plain else ASSUMED[self.scenario.level].text_tokens * CHARS_PER_TOKEN

    def _consumed(self, task: AgentTask, value: bytes, dice: Dice) -> tuple[Usage, float, int]:
        """Usage, seconds and turns."""
        read = (len(task.prompt) + len(self._told(task))) // CHARS_PER_TOKEN + 1
        said = len(value) // CHARS_PER_TOKEN + 1
        if self.plain:
            return Usage(read, 0, said, 1), 0.0, 1
        seen = self.past.get(task.phase) or self.past.get(None)
        if seen:
            one = _drawn(seen, self.scenario.level, dice)
            return Usage(one.input_tokens, 0, one.output_tokens, one.turns), one.seconds, one.turns
        assumed = ASSUMED[self.scenario.level]
        turns = assumed.turns if task.tools != [] else 1
        read += TOOL_TOKENS if task.tools != [] else 0
        growth = assumed.turn_tokens * turns * (turns - 1) // 2
        output = said + assumed.thinking_tokens + 80 * (turns - 1)
        usage = Usage(read * turns + growth, 0, output, turns)
        return usage, assumed.wait_s * turns + output / assumed.tokens_per_s, turns


def _drawn(seen: Sequence[Observed], level: Level, dice: Dice) -> Observed:
    ordered = sorted(seen, key=lambda one: one.output_tokens)
    match level:
        case "low":
            return ordered[len(ordered) // 10]
        case "high":
            return ordered[-1 - len(ordered) // 20]
        case "usual":
            return ordered[dice.below(len(ordered))]


def _prose(prompt: str, dice: Dice, length: int) -> str:
    words = " ".join(prompt[:300].split())[:60]
    text = f"[simulated] {words} ({dice.word()})"
    return text + " and so on" * max(0, (length - len(text)) // 10)


# --- what the answers are made of ------------------------------------------------------------------------------------


def shape(schema: Any, scenario: Scenario, dice: Dice) -> Any:
    """The schema narrowed to what an agent of this scenario would answer."""
    if isinstance(schema, list):
        return [shape(part, scenario, dice) for part in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    narrowed = {name: shape(part, scenario, dice) for name, part in cast("dict[str, Any]", schema).items()}
    kind = narrowed.get("type")
    if kind == "array":
        wanted = _items(narrowed, scenario, dice)
        return {**narrowed, "minItems": wanted, "maxItems": wanted}
    words = cast("list[Any]", narrowed["enum"]) if isinstance(narrowed.get("enum"), list) else []
    if scenario.choice is not None and words:
        return {**narrowed, "enum": words[:1] if scenario.choice == "first" else words[-1:]}
    if kind == "boolean" and scenario.says is not None and "const" not in narrowed and "enum" not in narrowed:
        return {**narrowed, "const": scenario.says}
    return narrowed


def _items(schema: dict[str, Any], scenario: Scenario, dice: Dice) -> int:
    least, most = schema.get("minItems", 0), schema.get("maxItems")
    least = least if isinstance(least, int) else 0
    bound = min(most, MOST) if isinstance(most, int) else None
    match scenario.lists:
        case "none":
            return least
        case "many":
            return max(least, bound if bound is not None else MANY)
        case "some":
            return least + dice.below(max(1, min(bound if bound is not None else MANY, least + MANY // 2) - least + 1))


MOST_READ = 64 * 1024
MOST_PATHS = 50
_QUOTE = re.compile(r"quot|excerpt|snippet|evidence|verbatim", re.IGNORECASE)
_TERM = re.compile(r"^(terms?|words?|keywords?|names?|symbols?)$", re.IGNORECASE)
_PATH = re.compile(r"^(files?|paths?|file_?paths?|sources?|needs)$", re.IGNORECASE)
_PATHS_IN = re.compile(r"[\w./-]*\w\.[A-Za-z]{1,5}\b")


@dataclass(frozen=True, slots=True)
class Ground:
    """What an agent can quote: its prompt, and the files below the run's folder that it, or its answer, names."""

    prompt: str
    folder: Path
    scenario: Scenario
    dice: Dice

    def stand(self, value: Any, schema: Any, name: str = "", file: str = "") -> Any:
        """The value with quotes, words and paths that are really there, as an agent that reads would give them."""
        rules = cast("dict[str, Any]", schema) if isinstance(schema, dict) else {}
        if isinstance(value, dict):
            return self._members(cast("dict[str, Any]", value), rules.get("properties", {}), file)
        if isinstance(value, list):
            items: Any = rules.get("items")
            return [self.stand(item, items, name, file) for item in cast("list[Any]", value)]
        if not isinstance(value, str) or "enum" in rules or "const" in rules:
            return value
        if self.dice.below(1000) >= self.scenario.quotes * 1000:
            return value
        return self._found(value, rules, name, file)

    def _members(self, members: dict[str, Any], rules: dict[str, Any], file: str) -> dict[str, Any]:
        """Paths first: a quote beside a path is from that file."""
        done: dict[str, Any] = {}
        for key in sorted(members, key=lambda key: not _PATH.match(key)):
            done[key] = self.stand(members[key], rules.get(key), key, file)
            if _PATH.match(key) and isinstance(done[key], str):
                file = done[key]
        return {key: done[key] for key in members}

    def _found(self, value: str, rules: dict[str, Any], name: str, file: str) -> str:
        least, most = rules.get("minLength", 1), rules.get("maxLength", 300)
        if _QUOTE.search(name):
            text = self._text(file) or next((t for t in map(self._text, self._paths()) if t), self.prompt)
            lines = [re.sub(r"^ *\d+[\t→|] ?", "", line).strip()[:most] for line in text.splitlines()]
            return self._one([line for line in lines if len(line) >= max(least, 8)], value)
        if _TERM.match(name):
            return self._one([word for word in re.findall(r"\w{4,}", self.prompt) if least <= len(word) <= most], value)
        if _PATH.match(name):
            paths = self._paths()
            return self._one([path for path in paths if (self.folder / path).is_file()] or paths, value)
        return value

    def _one(self, found: Sequence[str], otherwise: str) -> str:
        return found[self.dice.below(len(found))] if found else otherwise

    def _paths(self) -> list[str]:
        return list(dict.fromkeys(_PATHS_IN.findall(self.prompt[:MOST_READ])))[:MOST_PATHS]

    def _text(self, path: str) -> str:
        return _beginning(self.folder, path)


@lru_cache(maxsize=256)
def _beginning(folder: Path, path: str) -> str:
    """The beginning of a file below the folder; empty where there is none."""
    if not path:
        return ""
    try:
        found = (folder / path).resolve()
        if not found.is_relative_to(folder.resolve()) or not found.is_file():
            return ""
        with found.open(encoding="utf-8", errors="replace") as file:
            return file.read(MOST_READ)
    except (OSError, ValueError):
        return ""
