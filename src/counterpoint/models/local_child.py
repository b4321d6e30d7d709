"""The process that a local model runs in. Started as a file, with nothing of ours imported: reads lines, writes lines.

    python -I -S -B local_child.py FOLDER-OF-THE-ENGINE MODEL-FILE CONTEXT THREADS

Its first line says that the model is there. Then it answers one line with one line, and between them says that it is at
work, with the text since the last time: at most once a second, or where somebody listens (`tell`), ten times. Native
code may write to stdout, call `exit` or crash here without harm to anyone.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import secrets
import socket
import sys
import tempfile
import time
from typing import Any, BinaryIO

Line = dict[str, Any]
BEAT_S = 1.0
TELL_S = 0.1
BATCH = 256
"""Tokens of a prompt that are read between two signs of life."""


def main(arguments: list[str]) -> None:
    """Serves until standard input ends. What native code would do at its exit is not waited for."""
    folder, model, context, threads = arguments
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.path.append(folder)
    try:
        engine = load(model, int(context), int(threads))
    except (ImportError, RuntimeError) as error:
        write(out, {"refused": str(error)})
        return
    write(out, {"ready": True})
    for line in sys.stdin.buffer:
        write(out, answer(engine, json.loads(line), out))
    os._exit(0)


def load(model: str, context: int, threads: int) -> Any:
    """llama.cpp's server. It insists on an address: a socket in a folder that only we can enter, and gone at once."""
    xllamacpp: Any = importlib.import_module("xllamacpp")
    parameters = xllamacpp.CommonParams()
    parameters.model.path = model
    parameters.n_ctx = context
    parameters.n_parallel = 1
    parameters.n_batch = parameters.n_ubatch = BATCH
    parameters.cache_ram_mib = 0
    parameters.warmup = False
    parameters.verbosity = -1
    parameters.ui = parameters.endpoint_slots = False
    parameters.api_keys = [secrets.token_hex(32)]
    for processors in (parameters.cpuparams, parameters.cpuparams_batch):
        processors.n_threads, processors.poll = threads, 0
    with tempfile.TemporaryDirectory(prefix="counterpoint-") as private:
        address = os.path.join(private, "engine.sock")  # noqa: PTH118 (nothing is imported that is not needed)
        parameters.hostnames = [address if hasattr(socket, "AF_UNIX") else "127.0.0.1"]
        return xllamacpp.Server(parameters)


def answer(engine: Any, request: Line, out: BinaryIO) -> Line:
    """What the model says to one request, or why it says nothing."""
    heard = Heard(out, TELL_S if request.pop("tell", False) else BEAT_S)
    try:
        engine.handle_chat_completions({**request, "stream": True, "return_progress": True,
                                        "stream_options": {"include_usage": True}}, heard.take)  # fmt: skip
    except ValueError as error:
        return {"refused": str(error)}
    return heard.answer()


class Heard:
    """One answer as it arrives."""

    def __init__(self, out: BinaryIO, every_s: float) -> None:
        self._out = out
        self._every_s = every_s
        self._beat = time.monotonic()
        self._text: list[str] = []
        self._told = 0
        """How many pieces of the text were in a beat."""
        self._stop = ""
        self._usage: Line = {}
        self._error: Line = {}

    def take(self, chunk: Line) -> bool:
        """Keeps what a chunk says. Once nobody listens any more, there is nothing left to live for."""
        self._error = chunk.get("error", self._error)
        self._usage = chunk.get("usage") or self._usage
        for choice in chunk.get("choices", ()):
            self._text.append(choice["delta"].get("content") or "")
            self._stop = choice["finish_reason"] or self._stop
        if time.monotonic() - self._beat >= self._every_s:
            self._beat = time.monotonic()
            try:
                write(self._out, {"beat": True, "text": "".join(self._text[self._told :])})
                self._told = len(self._text)
            except OSError:
                os._exit(0)
        return False

    def answer(self) -> Line:
        if self._error:
            return {"refused": self._error.get("message", ""), "tokens": self._error.get("n_prompt_tokens", 0)}
        return {"text": "".join(self._text), "stop": self._stop, "input": self._usage.get("prompt_tokens", 0),
                "output": self._usage.get("completion_tokens", 0)}  # fmt: skip


def write(out: BinaryIO, line: Line) -> None:
    out.write(json.dumps(line).encode() + b"\n")
    out.flush()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        main(sys.argv[1:])
