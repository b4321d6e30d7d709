"""Allow, ask and deny: what a rule speaks of, and what it does not."""

from __future__ import annotations

import pytest

from counterpoint.text import at_commas
from counterpoint.tools.commands import analyse
from counterpoint.tools.policy import Access, Kind, Permissions, Policy, RuleError, parse


def judge(access: Access, **rules: object) -> str:
    return Policy.of(Permissions(**rules)).judge(access).decision  # pyright: ignore[reportArgumentType]  (test options by name)


def bash(command: str, **rules: object) -> str:
    return judge(Access("Bash", "command", command), **rules)


def file(path: str, kind: Kind = "write", **rules: object) -> str:
    tool = "Write" if kind == "write" else "Grep"
    return judge(Access(tool, kind, path, f"/work/{path}"), **rules)


def test_without_rules_files_are_read_and_nothing_else_is_done() -> None:
    assert file("a.py", "read") == "allow"
    assert judge(Access("TodoWrite", "own")) == "allow"
    assert file("a.py") == "deny"
    assert bash("ls") == "deny"
    assert judge(Access("WebFetch", "host", "example.com")) == "deny"
    assert judge(Access("mcp__x__y", "call")) == "deny"


@pytest.mark.parametrize(
    ("rule", "path", "decision"),
    [
        ("Edit", "any/where.py", "allow"),
        ("Edit(*)", "any/where.py", "allow"),
        ("Edit(src/**)", "src/a/b.py", "allow"),
        ("Edit(src/**)", "srcs/a.py", "deny"),
        ("Edit(src/**)", "lib/src/a.py", "deny"),
        ("Edit(src)", "src/a/b.py", "allow"),
        ("Edit(/src/)", "src/a/b.py", "allow"),
        ("Edit(./src/*.py)", "src/a.py", "allow"),
        ("Edit(./src/*.py)", "src/a/b.py", "deny"),
        ("Edit(*.md)", "docs/x.md", "allow"),
        ("Edit(*.{md,txt})", "docs/x.txt", "allow"),
        ("Edit(//work/src/**)", "src/a.py", "allow"),
        ("Edit(//src/**)", "src/a.py", "deny"),
        ("Edit(SRC/**)", "src/a.py", "deny"),
        ("Write(out/**)", "out/a", "allow"),
        ("Read(src/**)", "src/a.py", "deny"),
    ],
)
def test_a_path_rule_allows_what_it_covers(rule: str, path: str, decision: str) -> None:
    assert file(path, allow=[rule]) == decision


def test_deny_goes_before_ask_and_ask_before_allow() -> None:
    assert file("src/a.py", allow=["Edit"], ask=["Edit(src/**)"]) == "ask"
    assert file("src/a.py", allow=["Edit"], ask=["Edit"], deny=["Edit(*.py)"]) == "deny"
    assert file("src/a.txt", allow=["Edit"], deny=["Edit(*.py)"]) == "allow"


def test_what_may_not_be_read_is_denied_to_every_tool_that_reads_in_any_case() -> None:
    assert file(".env", "read", deny=["Read(.env)"]) == "deny"
    assert file("deep/down/.ENV", "read", deny=["Read(.env)"]) == "deny"
    assert file("deep/.env.example", "read", deny=["Read(.env)"]) == "allow"


def test_an_agent_that_may_only_read_cannot_be_allowed_to_write() -> None:
    assert file("a", allow=["Edit", "*"], read_only=True) == "deny"
    assert judge(Access("mcp__x__y", "call"), allow=["mcp__x"], read_only=True) == "deny"
    assert file("a", "read", read_only=True) == "allow"


def test_a_restriction_of_the_agents_own_narrows_and_never_widens() -> None:
    assert bash("git log -3", allow=["Bash"], only=["Bash(git log *)"]) == "allow"
    assert bash("git push", allow=["Bash"], only=["Bash(git log *)"]) == "deny"
    assert bash("git log", only=["Bash(git log *)"]) == "deny"


ALLOWED = ["Bash(make *)", "Bash(git log:*)", "Bash(npm run * --silent)", "Bash(pytest -q tests/a.py)"]


@pytest.mark.parametrize(
    "command",
    [
        "make", "make test", "make  test   -j2", "make 'a b'", 'make "x; rm -rf /"', "make test # and nothing else",
        "make a && make b", "make a; make b", "make a | make b", "make a || make b", "make a & make b",
        "make a\nmake b",
        "cd sub && make", "git log --oneline", "git log", "npm run lint --silent", "pytest -q tests/a.py",
        "make test 2>&1", "make >/dev/null 2>&1", "ma\\\nke test", "'make' test", "make $TARGET", "make *.o",
        "make <in",
    ],
)  # fmt: skip
def test_a_command_that_consists_of_allowed_ones_is_allowed(command: str) -> None:
    assert bash(command, allow=ALLOWED) == "allow"


@pytest.mark.parametrize(
    "command",
    [
        "rm -rf /", "makefoo", "make; rm x", "make && rm x", "make || rm x", "make | sh", "make & rm x", "make\nrm x",
        "rm x; make", "make $(rm x)", "make `rm x`", 'make "$(rm x)"', 'make "`rm x`"', "make <(rm x)", "make >(sh)",
        "(make)", "{ make; }", "$(make)", "if make; then rm x; fi", "for x in a; do make; done", "! make",
        "PATH=.:$PATH make", "LD_PRELOAD=./x.so make", "A=1 make", "env make", "sudo make", "./make", "/tmp/make",
        "$X make", "ma$X", "{rm,-rf,x}", "make <<EOF\n$(rm x)\nEOF", "make ${x:-$(rm x)}", "make $'\\x3b'", 'make $"x"',
        "function make { rm x; }; make", "make() { rm x; }; make", "alias make=rm; make", "make\r\nrm x",
        "make \x00 rm",
        "git logs", "git -c core.pager=sh log", "git push", "npm run x", "pytest -q tests/a.py tests/b.py", "time make",
        "make 'unclosed", 'make "unclosed', "make \\", "a=(1) make", "coproc make", "[[ -f x ]] && make", "make;;rm x",
        "'make test'", "make\u2028rm x", "eval make", "command make", "exec make", "\\make(x)", "make > $OUT", "*",
        "cd /; make > out",
    ],
)  # fmt: skip
def test_nothing_slips_in_beside_an_allowed_command(command: str) -> None:
    assert bash(command, allow=ALLOWED) == "deny"


def test_a_bare_rule_allows_every_command() -> None:
    for rule in ("Bash", "Bash(*)"):
        assert bash("for x in *; do rm $x; done", allow=[rule]) == "allow"


@pytest.mark.parametrize(
    "command",
    [
        "rm x", "ls; rm x", "/bin/rm x", "\\rm x", "r''m x", 'r"m" x', "A=1 rm x", "env A=1 rm x", "sudo -u a rm x",
        "find . -name a -exec rm {} +", "xargs rm", "ls | xargs -n1 rm", "sh -c 'rm x'", "bash -c 'ls; rm x'",
        "env sh -c 'rm x'", "eval rm x", "eval 'rm x'", "nohup timeout 5 rm x", "$(echo rm) x", "`echo rm` x",
        "x=rm; $x y", "(rm x)", "if true; then rm x; fi", "bash -c \"$CMD\"", "sh -c 'sh -c \"rm x\"'", "rm\nls",
        "cat <<E | sh\nrm x\nE", "rm", "command rm x", "sh -c 'sh -c \"sh -c \\\"sh -c 1\\\"\"'  rm", "time rm x",
        "env " * 300 + "rm x",
    ],
)  # fmt: skip
def test_a_denied_command_is_found_wherever_it_hides_or_the_doubt_denies(command: str) -> None:
    assert bash(command, allow=["Bash"], deny=["Bash(rm *)"]) == "deny"
    assert bash(command, allow=["Bash"], ask=["Bash(rm *)"]) == "ask"


@pytest.mark.parametrize("command", ["ls", "git rm x", "echo rm", "grep rm x | sort", "ls 2>/dev/null && cat a"])
def test_a_rule_against_one_command_leaves_others_alone(command: str) -> None:
    assert bash(command, allow=["Bash"], deny=["Bash(rm *)"]) == "allow"


def test_output_that_goes_to_files_is_told() -> None:
    (one, two) = analyse("make > a.txt 2>> 'b c' ; ls").parts
    assert (one.writes, two.writes) == (["a.txt", "b c"], [])
    assert analyse("make 2>&1 >&- >/dev/null &>log").parts[0].writes == ["log"]


def test_a_very_long_command_is_judged_in_no_time_and_denied() -> None:
    assert bash("make " + "x" * 200_000, allow=["Bash(make *)"]) == "deny"
    assert bash("make " + "a " * 40_000, allow=["Bash(make *)"]) == "allow"
    assert bash("make " + "a*" * 20_000, allow=["Bash(*a*a*a*a*b)"]) == "deny"


@pytest.mark.parametrize(
    ("rule", "host", "decision"),
    [
        ("WebFetch", "example.com", "allow"),
        ("WebFetch(domain:example.com)", "example.com", "allow"),
        ("WebFetch(domain:example.com)", "www.example.com", "deny"),
        ("WebFetch(domain:*.example.com)", "www.example.com", "allow"),
        ("WebFetch(domain:*.example.com)", "badexample.com", "deny"),
    ],
)
def test_hosts(rule: str, host: str, decision: str) -> None:
    assert judge(Access("WebFetch", "host", host), allow=[rule]) == decision


@pytest.mark.parametrize(
    ("rule", "decision"),
    [("mcp__git", "allow"), ("mcp__git__*", "allow"), ("mcp__git__log", "allow"), ("mcp__gi", "deny"), ("mcp__*",
    "allow")],
)  # fmt: skip
def test_servers(rule: str, decision: str) -> None:
    assert judge(Access("mcp__git__log", "call"), allow=[rule]) == decision


@pytest.mark.parametrize("text", ["", "Bash(", "Bash make", "(x)", "Edit(a)b", "Edit(" + "{a,b}" * 10 + ")"])
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(RuleError):
        parse(text)


def test_rules_come_apart_at_commas_outside_of_parentheses() -> None:
    assert at_commas("Edit(src/**), Bash(git add a,b) ,Read") == ["Edit(src/**)", "Bash(git add a,b)", "Read"]
