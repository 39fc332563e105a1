// OpenTelemetry's own exporters over gRPC. Usage: otlp_client.mjs HOST:PORT gzip|none [TOKEN]
// Sends spans and log records of the GenAI conventions and prints how the exporters were answered.
import {Metadata} from "@grpc/grpc-js";
import {ROOT_CONTEXT, SpanKind, trace} from "@opentelemetry/api";
import {OTLPLogExporter} from "@opentelemetry/exporter-logs-otlp-grpc";
import {OTLPTraceExporter} from "@opentelemetry/exporter-trace-otlp-grpc";
import {resourceFromAttributes} from "@opentelemetry/resources";
import {LoggerProvider} from "@opentelemetry/sdk-logs";
import {TracerProvider} from "@opentelemetry/sdk-trace";

const [address, compression, token] = process.argv.slice(2);
const metadata = new Metadata();
if (token) metadata.set("authorization", `Bearer ${token}`);
const how = {url: `http://${address}`, compression, metadata, timeoutMillis: 20_000};
const send = (exporter, items) => new Promise((resolve) => exporter.export(items, (r) =>
  resolve({code: r.code, error: r.error?.message ?? null, grpc: r.error?.code ?? null})));

const resource = resourceFromAttributes({"service.name": "gateway"});
const spans = [], nothing = async () => {};
const provider = new TracerProvider({resource, spanProcessors: [{
  onStart: () => {}, onEnd: (s) => spans.push(s), forceFlush: nothing, shutdown: nothing}]});
const tracer = provider.getTracer("test");
const message = (role, content) => JSON.stringify([{role, parts: [{type: "text", content}]}]);
for (let i = 0; i < 20; i++) {
  const span = tracer.startSpan(`chat model-1`, {kind: SpanKind.CLIENT, attributes: {
    "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "model-1",
    "gen_ai.usage.input_tokens": 10 + i, "gen_ai.usage.output_tokens": 5, "user.id": `otlp-${compression}-${i % 4}`,
    "gen_ai.input.messages": message("user", `question ${i} about the river and the lamp`),
    "gen_ai.output.messages": message("assistant", "an answer"), "client.address": "198.51.100.7"}});
  span.end();
}
if (spans.length !== 20) throw new Error(`${spans.length} spans, not 20`);

const records = [];
const logs = new LoggerProvider({resource, processors: [{
  onEmit: (r) => records.push(r), forceFlush: nothing, shutdown: nothing}]});
for (let i = 0; i < 10; i++) {
  const id = (compression === "gzip" ? "a" : "b") + i;  // an event belongs to a span, which names the exchange
  logs.getLogger("test").emit({context: trace.setSpanContext(ROOT_CONTEXT, {traceId: id.repeat(16), spanId: id.repeat(8), traceFlags: 1}), eventName: "gen_ai.client.inference.operation.details", attributes: {
    "gen_ai.operation.name": "chat", "gen_ai.request.model": "model-2", "user.id": `otlp-log-${compression}-${i % 2}`,
    "gen_ai.usage.input_tokens": 3, "gen_ai.usage.output_tokens": 4}});
}
const traces = new OTLPTraceExporter(how), logExporter = new OTLPLogExporter(how);
const result = {traces: await send(traces, spans), again: await send(traces, spans), logs: await send(logExporter, records)};
console.log(JSON.stringify(result));
await Promise.all([traces.shutdown(), logExporter.shutdown()]);
