from counterpoint.runtime.identity import Identities


def test_the_same_call_twice_has_two_keys_that_differ_only_in_number():
    identities = Identities()
    first, second = identities.agent("p", {}), identities.agent("p", {})
    assert first.endswith(":0")
    assert second == first[:-1] + "1"


def test_label_and_phase_are_not_part_of_a_call():
    assert Identities().agent("p", {"label": "a"}) == Identities().agent("p", {"label": "b", "phase": "x"})


def test_every_option_that_changes_behaviour_is():
    options = {
        "schema": {"type": "object"},
        "model": "m",
        "effort": "low",
        "agentType": "t",
        "tools": ["Read"],
        "from": "a",
    }
    keys = {Identities().agent("p", {name: value}) for name, value in options.items()}
    assert len(keys | {Identities().agent("p", {})}) == len(options) + 1


def test_the_order_of_members_does_not_matter():
    assert Identities().agent("p", {"schema": {"a": 1, "b": 2}}) == Identities().agent(
        "p", {"schema": {"b": 2, "a": 1}}
    )


def test_a_stable_key_stands_in_for_the_prompt():
    assert Identities().agent("one", {"key": "k"}) == Identities().agent("two", {"key": "k"})
