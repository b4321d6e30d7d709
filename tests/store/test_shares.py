"""Who is due how many places at a provider. A unit test: the rule is pure, and in a run its figures would be noise."""

from __future__ import annotations

import pytest

from counterpoint.ceilings import read_places
from counterpoint.errors import SettingsError
from counterpoint.store.shares import Asking, dues


def asks(holder: str, wants: int, *, run: str = "", weight: float = 1.0, most: int = 12, had: float = 0.0) -> Asking:
    return Asking(holder, run or holder, weight, most, wants, 0, had)


def test_places_go_round_by_weight_and_what_one_does_not_want_goes_to_the_others():
    assert dues([asks("a", 99), asks("b", 99), asks("c", 99)]) == {"a": 4, "b": 4, "c": 4}
    assert dues([asks("a", 99), asks("b", 1), asks("c", 99)]) == {"a": 6, "b": 1, "c": 5}
    assert dues([asks("a", 99, weight=2), asks("b", 99)]) == {"a": 8, "b": 4}
    assert dues([asks("a", 3), asks("b", 2)]) == {"a": 3, "b": 2}
    assert dues([asks("a", 0), asks("b", 99)]) == {"a": 0, "b": 12}
    assert dues([]) == {}


def test_a_run_has_one_part_whatever_the_number_of_its_processes():
    of_a = [asks(f"a{n}", 99, run="a") for n in range(3)]
    due = dues([*of_a, asks("b", 99)])
    assert (sum(due[each.holder] for each in of_a), due["b"]) == (6, 6)


def test_where_places_are_few_those_go_first_that_had_least_by_their_weight():
    crowd = [asks("a", 9, most=2, had=5), asks("b", 9, most=2, had=3), asks("c", 9, most=2, had=4)]
    assert dues(crowd) == {"a": 0, "b": 1, "c": 1}
    assert dues([*crowd, asks("d", 9, most=2, had=8, weight=4)]) == {"a": 0, "b": 1, "c": 0, "d": 1}


def test_the_lowest_limit_that_anybody_knows_holds():
    assert sum(dues([asks("a", 99, most=50), asks("b", 99, most=8)]).values()) == 8


def test_limits_are_written_as_provider_and_number():
    assert read_places(["anthropic=40", " openai = 7 "]) == {"anthropic": 40, "openai": 7}
    for wrong in ("40", "anthropic=", "anthropic=0", "=3", "anthropic=4.5", "anthropic=-1", "a=999999999999"):
        with pytest.raises(SettingsError, match="provider_limits has"):
            read_places([wrong])
