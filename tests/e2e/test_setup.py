"""A newcomer's first commands."""

import pytest
from tests.e2e.conftest import Program


def test_init_makes_a_workflow_that_is_clean_and_runs(cpt: Program):
    made = cpt("init")
    assert made.code == 0, made.err
    assert made.out.split() == [".counterpoint/config.toml", ".counterpoint/workflows/hello.js"]
    assert cpt("check", ".counterpoint/workflows").code == 0
    ran = cpt("run", "hello", "--args", '["Ada", "Grace"]', "--model", "sim", "--json")
    assert [row["name"] for row in ran.json["result"]] == ["Ada", "Grace"]


def test_init_leaves_what_is_there_as_it_is(cpt: Program):
    config = cpt.folder / ".counterpoint" / "config.toml"
    config.parent.mkdir()
    config.write_text("concurrency = 3\n")
    assert cpt("init", "--json").json["made"] == [str(cpt.folder / ".counterpoint" / "workflows" / "hello.js")]
    assert config.read_text() == "concurrency = 3\n"
    assert cpt("config", "--json").json["concurrency"] == {"value": 3, "origin": str(config)}


def test_the_doctor_looks_at_everything_and_says_how_to_get_the_rest(cpt: Program):
    looked = cpt("doctor", "--json", ANTHROPIC_API_KEY="", HOME=str(cpt.folder))
    assert looked.code == 0, looked.err
    checks = {check["name"]: check for check in looked.json["checks"]}
    assert checks["sandbox"]["state"] == "ok"
    assert checks["store"]["state"] == "ok"
    assert checks["providers"]["state"] == "missing"
    assert all(check["fix"] for check in checks.values() if check["state"] != "ok")
    assert "key" not in cpt("doctor", ANTHROPIC_API_KEY="sk-very-secret").out.replace("a key for anthropic", "")


def test_the_doctor_says_what_is_broken(cpt: Program):
    (cpt.folder / "state").write_text("a file")
    looked = cpt("doctor", "--json")
    assert looked.code == 1
    store = next(check for check in looked.json["checks"] if check["name"] == "store")
    assert (store["state"], "--state" in store["fix"]) == ("broken", True)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_can_complete_commands(cpt: Program, shell: str):
    assert "_COUNTERPOINT_COMPLETE" in cpt("--version", _COUNTERPOINT_COMPLETE=f"{shell}_source").out


def test_the_events_that_a_run_prints_are_those_of_its_export_and_hold_no_key(cpt: Program):
    flow = cpt.script("return await agent('the key is sk-live-0123456789abcdefghij')")
    printed = cpt("run", flow, "--model", "sim", "--jsonl").out
    assert printed == cpt("export", "@last", "--jsonl").out
    assert "sk-live" not in printed
    assert "[secret removed]" in printed
