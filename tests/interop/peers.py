"""Writes logs with the real programs, against a model provider of the test's own on loopback.

  peers.py litellm|otel|otel-older FOLDER

FOLDER gets each log as the program writes it, NAME.json, and NAME.expected.jsonl: the same exchanges
as canonical records, written from what was asked and answered, without the program's help.
With STILLWATCH_LIVE="NAME URL" the log NAME is sent to a running serve at URL in place of a file.
"""
import asyncio, http.server, json, os, sys, threading

LIVE, URL = os.environ.get("STILLWATCH_LIVE", " ").split(" ")
WORDS = "lamp river copper seven orbit paper quiet engine harbour violet marble winter signal garden thread".split()


def text(seed, n):
    """Some sentences that differ by seed; enough of them for a sketch."""
    return " ".join(WORDS[(seed * 7 + i * (3 + seed % 4)) % len(WORDS)] + ("." if i % 9 == 8 else "") for i in range(n))


class Provider(http.server.BaseHTTPRequestHandler):
    """OpenAI's chat completions and Anthropic's messages, as far as a client looks at them."""
    seen, posted = [], []

    def log_message(self, *args):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/logs":
            Provider.posted.append(body)
            return self.answer(200, {})
        q = json.loads(body)
        n = len(Provider.seen)
        Provider.seen.append(q)
        if "fail" in json.dumps(q["messages"]):
            return self.answer(429, {"error": {"message": "slow down", "type": "rate_limit_error", "code": "rate_limit_exceeded", "param": None}})
        if self.path.endswith("/messages"):
            return self.answer(200, {
                "id": f"msg_{n}", "type": "message", "role": "assistant", "model": q["model"], "stop_reason": "end_turn", "stop_sequence": None,
                "content": [{"type": "thinking", "thinking": "let me see", "signature": f"c2lnbmF0dXJl{n}"}, {"type": "text", "text": text(n + 50, 40)}],
                "usage": {"input_tokens": 20, "cache_read_input_tokens": 70, "cache_creation_input_tokens": 10, "output_tokens": 41}})
        answer = {"id": f"chatcmpl-{n}", "object": "chat.completion", "created": 1767225600, "model": q["model"],
                  "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text(n + 50, 40), "refusal": None}}],
                  "usage": {"prompt_tokens": 100, "completion_tokens": 40, "total_tokens": 140, "prompt_tokens_details": {"cached_tokens": 64},
                            "completion_tokens_details": {"reasoning_tokens": 8}}}
        if not q.get("stream"):
            return self.answer(200, answer)
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        words = answer["choices"][0]["message"]["content"].split(" ")
        for i, word in enumerate(words):
            delta = {"content": word if i == 0 else " " + word, **({"role": "assistant"} if i == 0 else {})}
            self.event(dict(answer, object="chat.completion.chunk", usage=None, choices=[{"index": 0, "delta": delta, "finish_reason": None}]))
        self.event(dict(answer, object="chat.completion.chunk", usage=None, choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}]))
        self.event(dict(answer, object="chat.completion.chunk", choices=[]))
        self.wfile.write(b"data: [DONE]\n\n")

    def event(self, o):
        self.wfile.write(b"data: " + json.dumps(o).encode() + b"\n\n")

    def answer(self, status, o):
        body = json.dumps(o).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def provider():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}"


def expect(folder, name, records):
    with open(os.path.join(folder, name + ".expected.jsonl"), "w", encoding="utf-8") as f:
        for i, r in enumerate(records):
            f.write(json.dumps({"exchange_id": f"e{i}", "ts": "2026-01-01T00:00:00Z", **r}) + "\n")


OPENAI = {"status": 200, "input_tokens": 100, "output_tokens": 40, "cached_tokens": 64, "reasoning_tokens": 8}


async def litellm_log(folder):
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it asks the network
    import litellm
    litellm.suppress_debug_info = True
    litellm.telemetry = False
    from litellm.integrations.generic_api.generic_api_callback import GenericAPILogger
    url = provider()
    records = []
    for form in ("json_array", "ndjson"):
        logger = GenericAPILogger(endpoint=URL or f"{url}/logs", log_format=form)
        litellm.callbacks = [logger]
        for k in range(4):
            n = len(Provider.seen)
            system, turn, user = text(1, 30), text(n + 10, 30), f"user-{form}-{k}"
            messages = [{"role": "system", "content": system}, {"role": "user", "content": turn}]
            record = {"operation": "acompletion", "account_id": user, "api_key_id": f"key-{k}", "org_id": "team-1", "messages": messages, "channel": "api"}
            own = {"user_api_key_user_id": user, "user_api_key_hash": f"key-{k}", "user_api_key_team_id": "team-1"}
            if k == 0:
                await litellm.acompletion(model="openai/gpt-4o", api_base=f"{url}/v1", api_key="k", messages=messages, temperature=0.5, max_tokens=99, metadata=own)
                record.update(OPENAI, model="gpt-4o", temperature=.5, max_tokens=99, response=text(n + 50, 40))
            elif k == 1:
                stream = await litellm.acompletion(model="openai/gpt-4o", api_base=f"{url}/v1", api_key="k", messages=messages, stream=True,
                                                   stream_options={"include_usage": True}, metadata=own)
                async for _ in stream:
                    pass
                record.update(OPENAI, model="gpt-4o", stream=True, response=text(n + 50, 40))
            elif k == 2:
                thought = [{"type": "thinking", "thinking": "before", "signature": "ZWFybGllcg=="}]
                messages[1:1] = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi", "thinking_blocks": thought}]
                await litellm.acompletion(model="anthropic/claude-sonnet-4-5", api_base=url, api_key="k", messages=messages, max_tokens=2000,
                                          thinking={"type": "enabled", "budget_tokens": 1024}, metadata=own)
                record.update(status=200, model="claude-sonnet-4-5", input_tokens=100, output_tokens=41, cached_tokens=70,
                              reasoning_tokens=3,  # LiteLLM's own count of "let me see"
                              max_tokens=2000, response=text(n + 50, 40),
                              reasoning_signatures_issued=[f"c2lnbmF0dXJl{n}"], reasoning_signatures_presented=["ZWFybGllcg=="])
            else:
                messages[1]["content"] += " fail"
                try:
                    await litellm.acompletion(model="openai/gpt-4o", api_base=f"{url}/v1", api_key="k", messages=messages, metadata=own, max_retries=0)
                    sys.exit("peers: the provider's refusal was not reported")
                except litellm.RateLimitError:
                    pass
                record.update(model="gpt-4o", status=429)
            records.append(record)
        for _ in range(200):  # callbacks run behind
            if len(logger.log_queue) == 4:
                break
            await asyncio.sleep(.05)
        await logger.async_send_batch()
    if not LIVE:
        with open(os.path.join(folder, "log.json"), "wb") as f:
            f.write(b"\n".join(Provider.posted) + b"\n")
    expect(folder, "log", records)


def otel_providers(folder, user):
    from opentelemetry.exporter.otlp.json.file._log_exporter import FileLogExporter
    from opentelemetry.exporter.otlp.json.file.trace_exporter import FileSpanExporter
    from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor
    from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    # A gateway says who calls: no GenAI attribute does.
    class SpanUser(SpanProcessor):
        def on_start(self, span, parent_context=None):
            span.set_attributes(user)

    class LogUser(LogRecordProcessor):
        def on_emit(self, record):
            record.log_record.attributes = {**(record.log_record.attributes or {}), **user}

        def shutdown(self):
            pass

        def force_flush(self, timeout_millis=0):
            return True

    resource = Resource.create({"service.name": "gateway"})
    traces, logs = TracerProvider(resource=resource), LoggerProvider(resource=resource)
    traces.add_span_processor(SpanUser())
    logs.add_log_record_processor(LogUser())
    if LIVE == "traces":
        from opentelemetry.exporter.otlp.proto.http import Compression
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=URL, compression=Compression.Gzip)))
    else:
        traces.add_span_processor(SimpleSpanProcessor(FileSpanExporter(os.path.join(folder, "traces.json"))))
    if LIVE == "logs":
        from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
        from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
        # All at the end: older events of one exchange are joined within a request.
        logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(endpoint=URL), schedule_delay_millis=60_000))
    else:
        logs.add_log_record_processor(SimpleLogRecordProcessor(FileLogExporter(os.path.join(folder, "logs.json"))))
    return traces, logs


def otel_older_log(folder):
    """The OpenAI client with its instrumentation: an event of each message in the log."""
    os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "true"
    import openai
    from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor
    user = {}
    traces, logs = otel_providers(folder, user)
    OpenAIInstrumentor().instrument(tracer_provider=traces, logger_provider=logs)
    client = openai.OpenAI(base_url=provider() + "/v1", api_key="k", max_retries=0)
    log, span = [], []
    for k in range(4):
        n = len(Provider.seen)
        user.update({"user.id": f"user-{k}", "client.address": f"192.0.2.{k}"})
        messages = [{"role": "system", "content": text(1, 30)}, {"role": "user", "content": text(n + 10, 30)}]
        if k == 3:
            messages[1:1] = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}]
        more = {"temperature": 0.5, "max_tokens": 99} if k == 0 else {"stream": True, "stream_options": {"include_usage": True}} if k == 1 else {}
        got = client.chat.completions.create(model="gpt-4o", messages=messages, **more)
        if k == 1:
            for _ in got:
                pass
        who = {"account_id": f"user-{k}", "client_ip": f"192.0.2.{k}", "channel": "api"}
        log.append({**who, "messages": messages, "response": text(n + 50, 40)})
        more.pop("stream", None)
        more.pop("stream_options", None)
        span.append({**who, "operation": "chat", "model": "gpt-4o", "input_tokens": 100, "output_tokens": 40, **more})
    traces.shutdown()
    logs.shutdown()
    expect(folder, "logs", log)
    expect(folder, "traces", span)


def otel_log(folder):
    """OpenTelemetry's own writer of the current names, on spans and on one event an exchange."""
    os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "SPAN_AND_EVENT"
    from opentelemetry.util.genai import types
    from opentelemetry.util.genai.handler import TelemetryHandler
    user = {}
    traces, logs = otel_providers(folder, user)
    handler = TelemetryHandler(tracer_provider=traces, logger_provider=logs)
    records = []
    for k in range(4):
        user.update({"user.id": f"user-{k}", "client.address": f"192.0.2.{k}"})
        system, turn, answer = text(1, 30), text(k + 10, 30), text(k + 50, 40)
        with handler.inference("anthropic", request_model="claude-x", operation_name="chat") as call:
            call.system_instruction = [types.TextPart(content=system)]
            call.input_messages = [types.InputMessage(role="user", parts=[types.TextPart(content=turn)])]
            call.tool_definitions = [types.FunctionToolDefinition(name="look_up", description="d", parameters={"type": "object"})]
            call.temperature, call.max_tokens, call.request_stream = 0.5, 99, bool(k % 2)
            call.output_messages = [types.OutputMessage(role="assistant", finish_reason="stop", parts=[
                types.ReasoningPart(content="let me see"), types.TextPart(content=answer)])]
            call.input_tokens, call.cache_read_input_tokens, call.output_tokens, call.thinking_tokens = 100, 70, 41, 9
        records.append({"account_id": f"user-{k}", "client_ip": f"192.0.2.{k}", "channel": "api", "operation": "chat", "model": "claude-x",
                        "messages": [{"role": "system", "content": system}, {"role": "user", "content": turn}], "response": answer, "tools": ["look_up"],
                        "temperature": .5, "max_tokens": 99, "stream": bool(k % 2), "input_tokens": 100, "cached_tokens": 70, "output_tokens": 41, "reasoning_tokens": 9})
    traces.shutdown()
    logs.shutdown()
    expect(folder, "logs", records)
    expect(folder, "traces", records)


if __name__ == "__main__":
    what, where = sys.argv[1:]
    if what == "litellm":
        asyncio.run(litellm_log(where))
    else:
        {"otel": otel_log, "otel-older": otel_older_log}[what](where)
