"""Which schemas can be asked for, what is wrong with an answer, and what counts as JSON."""

from __future__ import annotations

from typing import Any

import pytest

from counterpoint.agents.output import NoJsonError, check_schema, misfits, parse
from counterpoint.errors import HookError


def obj(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def nested(depth: int) -> dict[str, Any]:
    return obj(a=nested(depth - 1)) if depth else {"type": "object"}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": ["object"]},
        {"properties": {"a": {}}},
        obj(a={"type": ["string", "null"]}, b={"enum": [1, "x", None]}, c={"const": 3}),
        obj(a={"anyOf": [{"type": "string"}, {"type": "number"}]}),
        obj(a={"type": "array", "items": [{"type": "string"}], "additionalItems": False}),
        obj(a={"type": "string", "pattern": "^(?=.*x).+$"}),
        obj(a={"type": "string", "format": "no-such-format"}, b={"nullable": True}),
        {"$schema": "http://json-schema.org/draft-07/schema#", **obj(a={"type": "string"})},
        {**obj(child={"$ref": "#"}), "$defs": {}},
        {**obj(a={"$ref": "#/$defs/x"}), "$defs": {"x": {"type": "array", "items": {"$ref": "#/$defs/x"}}}},
        {**obj(x={}), "required": ["x", "y"]},
        {"type": "object", "patternProperties": {"^x": {}}, "required": ["xa"], "additionalProperties": False},
        nested(30),
    ],
)
def test_schemas_of_real_scripts_are_accepted(schema: dict[str, Any]) -> None:
    check_schema(schema)


@pytest.mark.parametrize(
    ("schema", "complaint"),
    [
        ("string", "must be an object schema, not string"),
        (None, "not null"),
        ([], "not array"),
        ({"type": "array", "items": {}}, 'root has the type "array"'),
        ({"type": ["object", "null"]}, "root has the type"),
        ({}, "has no type"),
        (obj(a={"type": "strng"}), r"\$\.properties\.a\.type: "),
        (obj(a={"type": "string", "minLength": "x"}), r"\$\.properties\.a\.minLength: "),
        (obj(a=5), r"\$\.properties\.a: "),
        ({"type": "object", "properties": []}, r"\$\.properties: "),
        ({"type": "object", "required": "a"}, r"\$\.required: "),
        ({"type": "object", "allOf": 5}, r"\$\.allOf: "),
        (
            obj(list={"type": "array", "items": {**obj(x={}), "required": ["y"], "additionalProperties": False}}),
            r"\$\.properties\.list\.items: 'y' is required, but not among the properties",
        ),
        (obj(a={"minItems": 3, "maxItems": 2}), r"\$\.properties\.a: minItems 3 is more than maxItems 2"),
        (obj(a={"enum": []}), r"\$\.properties\.a"),
        (obj(a={"$ref": "https://example.com/x.json"}), "leads elsewhere"),
        (obj(a={"$ref": "file:///etc/passwd"}), "leads elsewhere"),
        (obj(a={"$ref": "#/$defs/none"}), "leads nowhere"),
        (obj(a={"type": "string", "pattern": "["}), r"\$\.properties\.a\.pattern: "),
        (obj(a={"type": "string", "pattern": "(\\w{1,500}){1,500}"}), "pattern"),
        (nested(60), "more than 50 objects deep"),
        (obj(a={"description": "x" * 300_000}), "at most 262,144 are allowed"),
        ({"$schema": "https://example.com/mine", "type": "object"}, "https://example.com/mine"),
        (
            {**obj(a={"$ref": "#/$defs/x"}), "$defs": {"x": {"anyOf": [{"$ref": "#/$defs/x"}, {"type": "string"}]}}},
            "comes back to itself",
        ),
        ({**obj(), "$ref": "#"}, "comes back to itself"),
    ],
)
def test_schemas_that_cannot_be_answered_are_refused_with_the_place(schema: Any, complaint: str) -> None:
    for _ in range(2):  # the second time from memory
        with pytest.raises(HookError, match=complaint) as refused:
            check_schema(schema)
        assert refused.value.name == "SchemaError"


def test_a_schema_that_fans_out_beyond_measure_is_refused() -> None:
    levels = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)}
    with pytest.raises(HookError, match="fan out"):
        check_schema({**obj(a={"$ref": "#/$defs/d0"}), "$defs": {**levels, "d40": {"type": "string"}}})


@pytest.mark.parametrize("backwards", [True, False])
def test_a_chain_of_thousands_of_references_is_refused(backwards: bool) -> None:
    numbers = list(range(5000))
    chain = {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in (reversed(numbers) if backwards else numbers)}
    with pytest.raises(HookError, match="ref"):
        check_schema({**obj(a={"$ref": "#/$defs/d0"}), "$defs": {**chain, "d5000": {}}})


def test_a_long_chain_of_references_is_followed() -> None:
    chain = {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(500)}
    schema = {**obj(a={"$ref": "#/$defs/d0"}), "$defs": {**chain, "d500": {"type": "string"}}}
    check_schema(schema)
    assert misfits(schema, {"a": 1}) == ["$.a: must be string, not number"]


def test_misfits_name_the_place_and_what_is_wrong() -> None:
    schema = {
        **obj(
            items={
                "type": "array",
                "minItems": 1,
                "items": {**obj(name={"type": "string"}), "required": ["name"], "additionalProperties": False},
            },
            kind={"enum": ["a", "b"]},
            either={"anyOf": [{"type": "string"}, obj(deep={"type": "integer"})]},
        ),
        "required": ["items"],
    }
    assert misfits(schema, {"items": [{"name": "x"}], "kind": "a", "either": {"deep": 1}}) == []
    assert misfits(schema, {"items": [{"name": "x"}, {"nam": 1}]}) == [
        "$.items[1]: has members that are not allowed: 'nam'",
        "$.items[1].name: is required",
    ]
    assert misfits(schema, {"items": [], "kind": "c"}) == [
        "$.items: [] has less than 1 item",
        '$.kind: "c" is not one of "a" or "b"',
    ]
    assert misfits(schema, {"items": "x"}) == ["$.items: must be array, not string"]
    assert misfits(schema, {"items": [{"name": "x"}], "either": {"deep": "x"}})[0].startswith("$.either: fits none")
    assert misfits(schema, [1]) == ["$: must be object, not array"]


def test_a_list_of_misfits_is_bounded() -> None:
    schema = obj(a={"type": "array", "items": {"type": "string"}})
    wrong = misfits(schema, {"a": list(range(1000))})
    assert len(wrong) == 11
    assert max(map(len, misfits(obj(a={"maxLength": 3}), {"a": "x" * 100_000}))) < 400


@pytest.mark.parametrize("pattern", ["^(a+)+$", "^(?=a)(a+)+(?!b)$", "^(a|a)*(?<!b)$"])
def test_no_pattern_takes_for_ever(pattern: str) -> None:
    schema = obj(a={"type": "string", "pattern": pattern})
    check_schema(schema)
    assert misfits(schema, {"a": "a" * 5000 + "!"}) != []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        (" \n[1, 2]\n", [1, 2]),
        ('Here:\n```json\n{"a": 1}\n```\nDone.', {"a": 1}),
        ('```\n{"a": "```"}\n```', {"a": "```"}),
        ('The result is {"a": {"b": "}"}}, as asked.', {"a": {"b": "}"}}),
        ('I "think" {x} so: {"a": "\\"{"}', {"a": '"{'}),
        ('```python\n{"a": 1}\n```\n```json\n{"a": 2}\n```', {"a": 2}),
        ('{"big": 123456789012345678901234567890}', {"big": 123456789012345678901234567890}),
    ],
)
def test_json_is_found_where_it_is_unmistakable(text: str, value: Any) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no json at all",
        '{"a": 1',
        '{"a": 1,}',
        "{'a': 1}",
        '{"a": NaN}',
        '{"a": 1e999}',
        '{"a": "\\ud800"}',
        '{"a": 1} or {"a": 2}',
        '```json\n{"a": 1}\n```\nor\n```json\n{"a": 2}\n```',
        "```json\n" * 30_000,
        "[" * 100_000,
        "{" * 100_000,
    ],
)
def test_what_is_no_json_or_not_just_one_is_not_guessed_at(text: str) -> None:
    with pytest.raises(NoJsonError):
        parse(text)
