"""How each provider's protocol puts an answer or an error: plain data, nothing sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.fakes.replies import Asked, Fails, Gives, Says

OUTPUT_TOOL = "StructuredOutput"


def in_form(gives: Gives, asked: Asked) -> Says:
    """The value by the output tool, where there is one, else as text."""
    if OUTPUT_TOOL in asked.tools:
        return Says(calls=[(OUTPUT_TOOL, gives.value)], tokens=gives.tokens)
    return Says(json.dumps(gives.value), tokens=gives.tokens)


def _arguments(given: Any) -> str:
    return given if isinstance(given, str) else json.dumps(given)


# --- streams ---------------------------------------------------------------------------------------------------------


def streams(asked: Asked) -> bool:
    """Whether the answer is wanted as a stream."""
    return bool(asked.body.get("stream")) or asked.path.endswith(":streamGenerateContent")


def events(says: Says, asked: Asked) -> list[bytes]:
    """An answer as server-sent events."""
    if asked.path.endswith("/chat/completions"):
        return [*(_event(chunk) for chunk in chat_chunks(says, asked)), b"data: [DONE]\n\n"]
    if asked.path.endswith("/responses"):
        return [_event(event, event["type"]) for event in responses_events(says, asked)]
    if asked.path.endswith(":streamGenerateContent"):
        return [_event(google(says, asked))]
    return [_event(data, name) for name, data in anthropic_events(says, asked)]


def _event(data: dict[str, Any], name: str = "") -> bytes:
    return (f"event: {name}\n" if name else "").encode() + f"data: {json.dumps(data)}\n\n".encode()


def pieces(text: str) -> list[str]:
    return [text[n : n + 5] for n in range(0, len(text), 5)]


# --- Anthropic -------------------------------------------------------------------------------------------------------

ANTHROPIC_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}


def anthropic(says: Says, asked: Asked) -> dict[str, Any]:
    blocks: list[dict[str, Any]] = []
    if says.thought:
        blocks.append({"type": "thinking", "thinking": says.thought, "signature": "c2lnbmVk"})
    if says.found:
        pages = [
            {"type": "web_search_result", "url": url, "title": title, "encrypted_content": "c2VhbGVk", "page_age": None}
            for url, title in says.found
        ]
        blocks.append({"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}})
        blocks.append({"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": pages})
    if says.text:
        blocks.append({"type": "text", "text": says.text})
    for n, (name, given) in enumerate(says.calls):
        blocks.append({"type": "tool_use", "id": f"toolu_{n}", "name": name, "input": given})
    message: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": says.model or asked.model,
        "content": blocks,
        "stop_reason": says.stop or ("tool_use" if says.calls else "end_turn"),
        "stop_sequence": None,
    }
    if says.tokens is not None:
        read, cached, written = says.tokens
        usage: dict[str, Any] = {
            "input_tokens": read - cached,
            "cache_read_input_tokens": cached,
            "cache_creation_input_tokens": 0,
            "output_tokens": written,
        }
        message["usage"] = usage
        if says.found:
            usage["server_tool_use"] = {"web_search_requests": 1, "web_fetch_requests": 0}
    return message


def anthropic_events(says: Says, asked: Asked) -> Iterator[tuple[str, dict[str, Any]]]:
    whole = anthropic(says, asked)
    usage = whole.get("usage", {})
    start: dict[str, Any] = {**whole, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    yield "message_start", {"type": "message_start", "message": start}
    for n, block in enumerate(whole["content"]):
        opened, deltas = _anthropic_deltas(block)
        yield "content_block_start", {"type": "content_block_start", "index": n, "content_block": opened}
        yield "ping", {"type": "ping"}
        for delta in deltas:
            yield "content_block_delta", {"type": "content_block_delta", "index": n, "delta": delta}
        yield "content_block_stop", {"type": "content_block_stop", "index": n}
    end = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    yield (
        "message_delta",
        {"type": "message_delta", "delta": end, "usage": {"output_tokens": usage.get("output_tokens", 0)}},
    )
    yield "message_stop", {"type": "message_stop"}


def _anthropic_deltas(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    match block["type"]:
        case "text":
            text = block["text"]
            return {"type": "text", "text": ""}, [{"type": "text_delta", "text": part} for part in pieces(text)]
        case "thinking":
            deltas = [
                {"type": "thinking_delta", "thinking": block["thinking"]},
                {"type": "signature_delta", "signature": block["signature"]},
            ]
            return {"type": "thinking", "thinking": "", "signature": ""}, deltas
        case _:
            given = _arguments(block["input"])
            deltas = [{"type": "input_json_delta", "partial_json": part} for part in (given[:3], given[3:])]
            return {**block, "input": {}}, deltas


def anthropic_error(fails: Fails) -> dict[str, Any]:
    kind = fails.kind or ANTHROPIC_ERRORS.get(fails.status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": fails.message}}


# --- OpenAI: Chat Completions, and those who speak it ----------------------------------------------------------------


def chat(says: Says, asked: Asked) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": says.text or None}
    if says.thought:
        message["reasoning_content"] = says.thought
    if says.calls:
        message["tool_calls"] = [
            {"id": f"call_{n:04}", "type": "function", "function": {"name": name, "arguments": _arguments(given)}}
            for n, (name, given) in enumerate(says.calls)
        ]
    stop = says.stop or ("tool_calls" if says.calls else "stop")
    completion: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "provider": "Fake",
        "created": 1_780_000_000,
        "model": says.model or asked.model,
        "choices": [{"index": 0, "message": message, "finish_reason": stop}],
    }
    if says.tokens is not None:
        read, cached, written = says.tokens
        completion["usage"] = {
            "prompt_tokens": read,
            "completion_tokens": written,
            "total_tokens": read + written,
            "prompt_tokens_details": {"cached_tokens": cached},
        }
    return completion


def chat_chunks(says: Says, asked: Asked) -> Iterator[dict[str, Any]]:
    whole = chat(says, asked)
    frame = {**{k: v for k, v in whole.items() if k != "usage"}, "object": "chat.completion.chunk"}
    message, stop = whole["choices"][0]["message"], whole["choices"][0]["finish_reason"]

    def chunk(delta: dict[str, Any], stop: str | None = None) -> dict[str, Any]:
        return {**frame, "choices": [{"index": 0, "delta": delta, "finish_reason": stop}]}

    yield chunk({"role": "assistant", "content": ""})
    for name in ("reasoning_content", "content"):
        yield from (chunk({name: part}) for part in pieces(message.get(name) or ""))
    for n, call in enumerate(message.get("tool_calls", [])):
        yield chunk({"tool_calls": [{**call, "index": n}]})
    yield chunk({}, stop)
    if "usage" in whole and "include_usage" in (asked.body.get("stream_options") or ""):
        yield {**frame, "choices": [], "usage": whole["usage"]}


def openai_error(fails: Fails) -> dict[str, Any]:
    return {"error": {"message": fails.message, "type": fails.kind or None, "code": fails.kind or None, "param": None}}


# --- OpenAI: Responses -----------------------------------------------------------------------------------------------


def responses(says: Says, asked: Asked) -> dict[str, Any]:
    output: list[dict[str, Any]] = []
    if says.thought:
        output.append({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "c2VhbGVk"})
    annotations: list[dict[str, Any]] = []
    if says.found:
        action = {"type": "search", "query": "q", "sources": [{"type": "url", "url": url} for url, _ in says.found]}
        output.append({"type": "web_search_call", "id": "ws_1", "status": "completed", "action": action})
        url, title = says.found[0]
        annotations = [{"type": "url_citation", "url": url, "title": title, "start_index": 0, "end_index": 1}]
    if says.text:
        content: list[dict[str, Any]] = [{"type": "output_text", "text": says.text, "annotations": annotations}]
        output.append(
            {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content}
        )
    for n, (name, given) in enumerate(says.calls):
        output.append(
            {
                "type": "function_call",
                "id": f"fc_{n}",
                "call_id": f"call_{n:04}",
                "name": name,
                "arguments": _arguments(given),
                "status": "completed",
            }
        )
    read, cached, written = says.tokens or (0, 0, 0)
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_780_000_000,
        "model": says.model or asked.model,
        "status": "incomplete" if says.stop else "completed",
        "incomplete_details": {"reason": says.stop} if says.stop else None,
        "error": None,
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": read,
            "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
            "output_tokens": written,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": read + written,
        },
    }


def responses_events(says: Says, asked: Asked) -> Iterator[dict[str, Any]]:
    whole = responses(says, asked)
    begun: dict[str, Any] = {**whole, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    told: list[dict[str, Any]] = [{"type": "response.created", "response": begun}]
    for n, item in enumerate(whole["output"]):
        told += [{"type": "response.output_item.added", "output_index": n, "item": _opened(item)}]
        told += [{**delta, "item_id": item["id"], "output_index": n} for delta in _responses_deltas(item)]
        told += [{"type": "response.output_item.done", "output_index": n, "item": item}]
    told += [{"type": f"response.{whole['status']}", "response": whole}]
    return ({**event, "sequence_number": n} for n, event in enumerate(told))


def _opened(item: dict[str, Any]) -> dict[str, Any]:
    empty: dict[str, Any] = {"content": [], "arguments": ""}
    return {**item, **{name: value for name, value in empty.items() if name in item}}


def _responses_deltas(item: dict[str, Any]) -> list[dict[str, Any]]:
    match item["type"]:
        case "message":
            text = item["content"][0]["text"]
            return [
                {"type": "response.output_text.delta", "content_index": 0, "delta": part, "logprobs": []}
                for part in pieces(text)
            ]
        case "function_call":
            return [{"type": "response.function_call_arguments.delta", "delta": item["arguments"]}]
        case _:
            return []


# --- Google, and Bedrock's own ---------------------------------------------------------------------------------------


def google(says: Says, asked: Asked) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [{"text": says.text}] if says.text else []
    parts += [{"functionCall": {"name": name, "args": given}} for name, given in says.calls]
    read, cached, written = says.tokens or (0, 0, 0)
    candidate: dict[str, Any] = {
        "index": 0,
        "content": {"role": "model", "parts": parts},
        "finishReason": says.stop or "STOP",
    }
    if says.found:
        candidate["groundingMetadata"] = {
            "webSearchQueries": ["q"],
            "groundingChunks": [{"web": {"uri": url, "title": title}} for url, title in says.found],
        }
    return {
        "candidates": [candidate],
        "modelVersion": says.model or asked.model.partition(":")[0],
        "usageMetadata": {
            "promptTokenCount": read,
            "cachedContentTokenCount": cached,
            "candidatesTokenCount": written,
            "totalTokenCount": read + written,
        },
    }


def google_error(fails: Fails) -> dict[str, Any]:
    return {"error": {"code": fails.status, "message": fails.message, "status": fails.kind or "UNKNOWN"}}


def converse(says: Says, _: Asked) -> dict[str, Any]:
    content: list[dict[str, Any]] = [{"text": says.text}] if says.text else []
    content += [
        {"toolUse": {"toolUseId": f"tooluse_{n}", "name": name, "input": given}}
        for n, (name, given) in enumerate(says.calls)
    ]
    read, _cached, written = says.tokens or (0, 0, 0)
    return {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": says.stop or ("tool_use" if says.calls else "end_turn"),
        "usage": {"inputTokens": read, "outputTokens": written, "totalTokens": read + written},
        "metrics": {"latencyMs": 1},
    }


def converse_error(fails: Fails) -> dict[str, Any]:
    return {"message": fails.message}
