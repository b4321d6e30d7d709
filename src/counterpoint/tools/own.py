"""Tools of one's own: Python functions that a program gives to the agents of its run.

A function's annotations become the schema of its input, its docstring what the model is told. It is called like any
other tool: its input is checked, then the rules are asked, and the call is in the journal. Giving a tool to a run
allows it (a rule with its name that the journal keeps); a deny or ask rule goes before that, as everywhere.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, get_type_hints

import msgspec

from counterpoint.errors import ToolError, UsageError
from counterpoint.models.messages import ToolSpec
from counterpoint.tools import registry
from counterpoint.tools.base import Access, Action, ToolContext
from counterpoint.tools.guard import patiently

CALL_S = 300.0
MAX_TOOLS = 100
MAX_DESCRIPTION = 2000
MAX_ANSWER = 100_000
"""Characters."""
MADE_ELSEWHERE = frozenset({"memorylookup", "skill", "structuredoutput", "websearch"})
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")


class FunctionTool:
    """A function as a tool: ``FunctionTool(lookup, reads=True)``. It may be a coroutine function.

    `name` and `description` are the function's own where they are left out. `reads` says that a call changes nothing,
    so that agents that may only read get the tool too. A result that is no text reaches the agent as JSON.
    """

    read_only = False  # that the program says so does not make it safe to repeat after a crash

    def __init__(
        self, function: Callable[..., Any], *, name: str = "", description: str = "", reads: bool = False
    ) -> None:
        self.function, self.reads = function, reads
        name = name or getattr(function, "__name__", "")
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"{name!r} cannot be a tool's name.", hint="Letters, digits, _ and -, at most 64: name='lookup'."
            )
        described = description or inspect.getdoc(function) or ""
        if not described:
            raise UsageError(
                f"The tool {name} says nothing about itself.",
                hint="Give the function a docstring: models choose by it.",
            )
        self._input = _struct(name, function)
        self.spec = ToolSpec(name, described[:MAX_DESCRIPTION], _schema(name, self._input))

    @property
    def access(self) -> Access:
        """What the rules are asked."""
        return Access(self.spec.name, "query" if self.reads else "call")

    async def prepare(self, input: dict[str, Any], context: ToolContext) -> Action:
        try:
            given = msgspec.convert(input, self._input)
        except msgspec.ValidationError as error:
            raise ToolError(f"The input of {self.spec.name} is wrong: {error}.") from error
        arguments = {name: getattr(given, name) for name in self._input.__struct_fields__}
        return Action((self.access,), lambda: self._answer(arguments, context))

    async def _answer(self, arguments: dict[str, Any], context: ToolContext) -> str:
        answers: list[str] = []

        async def call() -> None:
            answers.append(await self._called(arguments))

        await patiently(call(), context.alive)
        text = answers[0]
        over = len(text) - MAX_ANSWER
        return f"{text[:MAX_ANSWER]}\n[… {over:,} more characters are left out; ask for less.]" if over > 0 else text

    async def _called(self, arguments: dict[str, Any]) -> str:
        try:
            async with asyncio.timeout(CALL_S):
                if inspect.iscoroutinefunction(self.function):
                    said = await self.function(**arguments)
                else:
                    said = await asyncio.to_thread(self.function, **arguments)
            return said if isinstance(said, str) else msgspec.json.encode(said).decode()
        except ToolError:
            raise
        except Exception as error:  # the agent can try otherwise; the journal has it
            raise ToolError(
                f"{self.spec.name} failed: {type(error).__name__}: {str(error)[:MAX_DESCRIPTION]}"
            ) from error


def own_tools(given: Sequence[FunctionTool | Callable[..., Any]]) -> dict[str, FunctionTool]:
    """The tools by their names. Raises UsageError for a name that another tool has, and for too many."""
    if len(given) > MAX_TOOLS:
        raise UsageError(f"{len(given)} tools were given; agents get at most {MAX_TOOLS} of one's own.")
    found: dict[str, FunctionTool] = {}
    for each in given:
        tool = each if isinstance(each, FunctionTool) else FunctionTool(each)
        name = tool.spec.name
        _refuse_taken(name, found)
        found[name] = tool
    return found


def _refuse_taken(name: str, earlier: Iterable[str]) -> None:
    plain = name.lower()
    if plain in {other.lower() for other in earlier}:
        raise UsageError(f"Two tools have the name {name!r}.", hint="Name one of them otherwise: name='…'.")
    elsewhere = {other.lower() for other in registry.ELSEWHERE} | MADE_ELSEWHERE
    if registry.canonical(name) is not None or plain in elsewhere or plain.startswith("mcp__"):
        raise UsageError(
            f"{name!r} is the name of another tool.", hint="Name yours otherwise: FunctionTool(function, name='…')."
        )


def _struct(name: str, function: Callable[..., Any]) -> type[msgspec.Struct]:
    """The function's parameters as a type. Raises UsageError where one cannot be given by name, or has no type."""
    try:
        hints = get_type_hints(function, include_extras=True)
    except NameError as error:
        raise UsageError(f"The annotations of {name} name what is not there: {error}.") from error
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise UsageError(f"{name}: a tool takes its input by names, and {parameter} has none.")
        if parameter.name not in hints:
            raise UsageError(
                f"{name}: the parameter {parameter.name} has no annotation.", hint="The schema is made of them."
            )
        hint = hints[parameter.name]
        fields.append(
            (parameter.name, hint)
            if parameter.default is parameter.empty
            else (parameter.name, hint, parameter.default)
        )
    try:
        return msgspec.defstruct("Input", fields, kw_only=True, forbid_unknown_fields=True)
    except (TypeError, ValueError) as error:
        raise UsageError(f"The parameters of {name} cannot be a tool's input: {error}.") from error


def _schema(name: str, kind: type[msgspec.Struct]) -> dict[str, Any]:
    """The JSON Schema of the input; further types lie in its ``$defs``."""
    try:
        (_,), named = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    except TypeError as error:
        raise UsageError(
            f"The parameters of {name} have types that JSON has not: {error}.",
            hint="str, int, float, bool, list, dict, Literal, dataclasses and msgspec structs can be described.",
        ) from error
    schema = named.pop("Input")
    schema.pop("title", None)
    schema.setdefault("properties", {})
    return {**schema, "$defs": named} if named else schema
