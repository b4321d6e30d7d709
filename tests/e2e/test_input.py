"""What people type wrong: exit code 2, and on stderr one error that says what, where, and what to do."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.conftest import Ended, Program

FLOW = "return await agent('x')"


def refused(ended: Ended, *said: str) -> None:
    """The command did nothing but say, once, what is wrong."""
    assert ended.code == 2, ended.err + ended.out
    assert ended.out == ""
    assert "Traceback" not in ended.err
    assert ended.err.lower().count("error: ") == 1, ended.err
    for words in said:
        assert words in ended.err


@pytest.fixture
def flow(cpt: Program) -> str:
    return cpt.script(FLOW)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("missing.js", ("There is no file", "missing.js", "hint: ")),
        (".", ("is a folder", "hint: ")),
        ("surveey", ("There is no workflow 'surveey'; did you mean 'survey'?", "hint: ")),
    ],
)
def test_a_script_that_is_not_there(cpt: Program, script: str, said: tuple[str, ...]):
    refused(cpt("run", script, "--model", "sim"), *said)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ('{"a": 1,}', ("--args", "line 1, column 9", '{"a": 1,}\n          ^', "hint: ")),
        ("{a: 1}", ("line 1, column 2", "hint: ")),
        ('{"a":\n [1,\n x]}', ("line 3, column 2", " x]}\n   ^")),
        ("", ("--args", "line 1, column 1")),
        ("NaN", ("NaN is not JSON",)),
        ("[" * 100_000, ("--args is no JSON",)),
        ("@none.json", ("--args: none.json cannot be read: No such file",)),
        ("@.", ("--args: . cannot be read: Is a directory",)),
        ("@latin.json", ("--args: latin.json is no UTF-8 text: byte 1",)),
        ("@cut.json", ("cut.json is no JSON: line 2, column 1",)),
    ],
)
def test_arguments_that_are_no_json(cpt: Program, flow: str, args: str, said: tuple[str, ...]):
    (cpt.folder / "latin.json").write_bytes(b'"\xe4"')
    (cpt.folder / "cut.json").write_text('{"a": [1,\n')
    refused(cpt("run", flow, "--args", args, "--model", "sim"), *said)


@pytest.mark.parametrize(
    ("given", "code", "out", "err"),
    [
        (b'{"n": 5}', 0, "5\n", ""),
        (b'{"n": [1,2\n', 2, "", "standard input is no JSON: line 2, column 1"),
        (b"\xff", 2, "", "standard input is no UTF-8 text: byte 0"),
    ],
)
def test_arguments_from_standard_input(cpt: Program, given: bytes, code: int, out: str, err: str):
    script = cpt.script("return args.n")
    command = [sys.executable, "-m", "counterpoint", "run", script, "--args", "-", "--model", "sim", "--quiet"]
    ended = subprocess.run(command, input=given, capture_output=True, cwd=cpt.folder, env=cpt.environment, check=False)
    assert (ended.returncode, ended.stdout.decode()) == (code, out)
    assert err in ended.stderr.decode()


def test_arguments_from_a_file(cpt: Program):
    (cpt.folder / "args.json").write_bytes(b'\xef\xbb\xbf{"n": "\xc3\xa9"}')
    assert cpt.run("return args.n", "--args", "@args.json").json["result"] == "é"


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("antropic:claude", ("There is no provider 'antropic'", "did you mean 'anthropic'", "hint: ")),
        ("sim:latncy=5ms", ("sim has no option 'latncy'; did you mean 'latency'?\n", "hint: It has: ")),
        ("sim:fail=2", ("fail='2'", "between 0 and 1")),
        ("anthropic:claude", ("needs a key", "ANTHROPIC_API_KEY", "hint: ")),
    ],
)
def test_a_model_that_is_not_to_be_had(cpt: Program, flow: str, model: str, said: tuple[str, ...]):
    refused(cpt("run", flow, "--model", model), *said)
    assert not list((cpt.state / "runs").glob("*"))


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--concurrency", "0"), "concurrency is 0; it must be between 1 and 1000"),
        (("--concurrency", "1001"), "concurrency is 1001; it must be between 1 and 1000"),
        (("--concurrency", "many"), "'many' is not a valid integer"),
        (("--max-agents", "0"), "max_agents is 0; it must be at least 1"),
        (("--budget", "nonsense"), "'nonsense' is neither tokens (500k, 1.5m) nor money ($5)"),
        (("--budget", "-5"), "'-5' is neither tokens"),
        (("--budget", "0"), "'0' leaves nothing to spend"),
        (("--budget", "$0.00"), "'$0.00' leaves nothing to spend"),
        (("--cwd", "nowhere"), "'nowhere' does not exist"),
        (("--modle", "sim"), "No such option '--modle'"),
    ],
)
def test_a_flag_that_cannot_be(cpt: Program, flow: str, flags: tuple[str, ...], said: str):
    refused(cpt("run", flow, "--model", "sim", *flags), said)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("show", "nope"), "No run has an id that begins with 'nope'"),
        (("resume", "wf_none"), "No run has an id that begins with 'wf_none'"),
        (("logs", "nope", "-f"), "No run has an id"),
        (("stop", "nope"), "No run has an id"),
        (("show", "wf_"), "'wf_' fits 2 runs: wf_"),
        (("show", "@last", "nobody"), "has the id or label 'nobody'"),
        (("resume", "@last", "--script", "none.js"), "There is no file none.js"),
        (("resume", "@last", "--reuse", "some"), "'some' is not one of 'calls', 'prefix', 'none'"),
        (("export", "@last"), "export needs a form"),
        (("export", "@last", "--html", "--jsonl"), "one form at a time"),
        (("approve", "@last", "g1", "--answer", "{yes"), "--answer is no JSON"),
        (("import", "flow.js"), "flow.js: it is nothing that Claude Code or Codex has left"),
        (("do", " "), "'TASK': it says nothing"),
        (("plan", ""), "'TASK': it says nothing"),
        (("dream", "run", "--budget", "much"), "The budget 'much' is neither tokens"),
        (("shwo", "@last"), "There is no command 'shwo'; did you mean 'show'?"),
    ],
)
def test_a_run_that_is_not_there(two_runs: Program, command: tuple[str, ...], said: str):
    refused(two_runs(*command), said)


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> Program:
    cpt = Program(tmp_path_factory.mktemp("two"))
    assert (cpt.run("return 1").code, cpt.run("return 2").code) == (0, 0)
    return cpt


@pytest.mark.parametrize(
    ("command", "code"),
    [(("run", "FLOW", "--jsonl"), 4), (("run", "FLOW"), 4), (("workflows", "list"), 0)],
)
def test_output_that_nobody_reads_to_its_end_is_no_failure(cpt: Program, command: tuple[str, ...], code: int):
    flow = cpt.script("await agent('a'); return ['x'.repeat(200_000), await agent('b')]")
    arguments = [flow if word == "FLOW" else word for word in command]
    if command[0] == "run":
        arguments += ["--model", "sim:fail=1"]
    process = cpt.start(*arguments)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    with process.stderr as errors:
        said = errors.read()
    assert (process.wait(60), "Traceback" in said, "error" in said) == (code, False, False), said


def test_a_file_that_cannot_be_written_is_named_and_no_fault_of_the_program(two_runs: Program):
    ended = two_runs("export", "@last", "--html", "-o", "nowhere/run.html")
    assert (ended.code, ended.out) == (1, "")
    assert "error: nowhere/run.html: No such file or directory." in ended.err
    assert "fault of Counterpoint" not in ended.err


def test_nothing_that_is_left_out_is_left_out_in_silence_and_json_is_harmless_on_a_terminal(cpt: Program):
    many = r"""
    for (let n = 0; n < 1200; n++) log(`line ${n}`)
    const said = await parallel(Array.from({length: 12}, (_, n) => () => agent(`p${n}`)))
    return { said: said.length, text: '\u009b31mred \u202egnp.exe \u007f' }"""
    assert cpt.run(many).code == 0
    cost = cpt("cost", "@last")
    assert cost.out.count("\nagent  ") == 10
    assert "and 2 agents that cost less" in cost.err
    assert len(cpt("cost", "@last", "--json").json["agents"]) == 12
    assert len(cpt("logs", "@last", "--json").json) == 1200
    for shown in (cpt("result", "@last"), cpt("result", "@last", "--json"), cpt("show", "@last", "--json")):
        assert not {"\u009b", "\u202e", "\x7f"} & set(shown.out)
    assert json.loads(cpt("result", "@last").out)["text"] == "\u009b31mred \u202egnp.exe \x7f"


def test_the_list_has_what_can_go_on_and_says_how_many_runs_are_over(cpt: Program):
    assert cpt.run("return await agent('a')").code == 0
    assert cpt.run("throw new Error('no')", name="thrown").code == 1
    listed = cpt("ps")
    assert "failed" in listed.out
    assert "thrown" in listed.out
    assert "completed" not in listed.out
    assert "1 more is over: counterpoint ps --all" in listed.err


@pytest.mark.parametrize("command", ["show", "resume", "result", "logs", "cost", "stop"])
def test_the_last_run_where_there_is_none(cpt: Program, command: str):
    refused(cpt(command, "@last"), "There is no run in ", "hint: Start one with")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("concurency = 3", "unknown setting 'concurency'; did you mean 'concurrency'?\n"),
        ("[aliasses]\nhaiku = 'sim'", "unknown setting 'aliasses'; did you mean 'aliases'?\n"),
        ("concurrency = 'three'", "concurrency is 'three'"),
        ("concurrency = 0", "concurrency is 0; it must be between 1 and 1000"),
        ("max_wait_s = nan", "max_wait_s is nan; it must be at least 0.001"),
        ("budget_tokens = -1", "budget_tokens is -1; it must be at least 1"),
        ("concurrency =", "at line 1, column 14"),
    ],
)
def test_a_configuration_that_cannot_be_used(cpt: Program, flow: str, text: str, said: str):
    file = cpt.folder / ".counterpoint" / "config.toml"
    file.parent.mkdir()
    file.write_text(text + "\n")
    refused(cpt("run", flow, "--model", "sim"), f"error: {file}: ", said)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("CONCURRENCY", "abc", "COUNTERPOINT_CONCURRENCY: concurrency is 'abc'"),
        ("CONCURRENCY", "2000", "COUNTERPOINT_CONCURRENCY: concurrency is 2000; it must be between"),
        ("STRICT", "maybe", "COUNTERPOINT_STRICT: strict is 'maybe'"),
        ("MODEL", "nix", "There is no provider 'nix'"),
        ("NOTIFY", "pigeon", "notify has no channel 'pigeon'"),
        ("DATABASE", "mysql://localhost/x", "The setting database is no address of a PostgreSQL database"),
    ],
)
def test_an_environment_that_cannot_be_used(cpt: Program, flow: str, name: str, value: str, said: str):
    refused(cpt("run", flow, timeout=60, **{f"COUNTERPOINT_{name}": value}), said)
    assert not list(cpt.state.glob("runs/*"))


def test_the_help_of_a_workflow_is_its_own_and_its_example_fits_its_arguments(cpt: Program):
    told = cpt("run", "deep-research", "--help")
    assert told.code == 0
    assert "question  string (required)" in told.out
    assert "sources   integer, 1 to 60" in told.out
    assert "Verify" in told.out
    example = re.search(r"--args '(.+?)'$", told.out, re.MULTILINE)
    assert example is not None
    assert json.loads(example[1]) == {"question": "…"}
    mine = cpt.folder / "my own.js"
    mine.write_text("export const meta = { name: 'mine', description: 'says \\u001b[31mred' }\nreturn 1\n")
    told = cpt("run", "my own.js", "--help")
    assert "counterpoint run 'my own.js'" in told.out
    assert "declares none" in told.out
    assert "\x1b" not in told.out
    general = cpt("run", "nowhere", "--help").out
    assert "Usage: counterpoint run [OPTIONS] SCRIPT" in general


def test_a_misspelt_variable_is_told_and_an_empty_model_is_none(cpt: Program, flow: str):
    ended = cpt("run", flow, "--model", "sim", COUNTERPOINT_CONCURENCY="4", COUNTERPOINT_MINE="1")
    assert ended.code == 0
    assert "COUNTERPOINT_CONCURENCY has no effect; did you mean COUNTERPOINT_CONCURRENCY?" in ended.err
    assert "COUNTERPOINT_MINE" not in ended.err
    doctor = cpt("doctor", COUNTERPOINT_CONCURENCY="4")
    assert (doctor.code, "COUNTERPOINT_CONCURENCY" in doctor.out) == (1, True)
    refused(cpt("run", flow, "--model", ""), "model is empty")


def test_a_state_folder_that_is_a_file(cpt: Program, flow: str):
    ended = cpt("run", flow, "--model", "sim", "--state", flow)
    assert (ended.code, ended.out) == (1, "")
    assert (
        ended.err
        == f"error: The state folder {flow} cannot be made: Not a directory.\nhint: Name another with --state.\n"
    )
    assert Path(flow).read_text().endswith(FLOW)
