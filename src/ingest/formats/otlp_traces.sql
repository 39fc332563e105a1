-- format: otlp_traces
-- describes: OpenTelemetry traces as OTLP/JSON with the GenAI conventions, current and older, and OpenInference
-- reads: JSON lines
-- recognise: resourceSpans
-- account: user.id, enduser.id, user.hash, enduser.pseudo.id (of the span, else of its resource); none: rejected
WITH
{include otlp_helpers.inc},
  -- Older dialects put messages into the span's events: one each, or all in one attribute.
  arrayFilter(e -> match(e.1, '^gen_ai[.][a-z]+[.]message$'), events) AS asked,
  concat(arrayStringConcat(arrayMap(e -> e.2['gen_ai.prompt'], arrayFilter(e -> e.1 = 'gen_ai.content.prompt', events)))) AS prompt,
  arrayFilter(e -> e.1 IN ('gen_ai.choice', 'gen_ai.content.completion'), events) AS chosen,
  multiIf(notEmpty(asked), concat('[', arrayStringConcat(arrayMap(e -> concat('{"role":"', splitByChar('.', e.1)[2], '","content":',
      toJSONString(concat(e.2['content'], e.2['gen_ai.prompt'])), '}'), asked), ','), ']'),
    prompt != '', as_messages(prompt), '') AS events_in,
  if(empty(chosen), '', concat('[', arrayStringConcat(arrayMap(e -> concat('{"content":',
    toJSONString(concat(e.2['content'], e.2['message'], e.2['gen_ai.completion'])), '}'), chosen), ','), ']')) AS events_out
SELECT
  source_row,
  substring(s, 1, 1024) AS source_record,
  concat(t.traceId, if(t.spanId = '', '', '-'), t.spanId) AS exchange_id,
  intDiv(begin, 1000000) AS ts,
  if(end > 0, intDiv(end - begin, 1000000), NULL) AS latency_ms,
{include otlp_columns.inc}
FROM (
  WITH
{include otlp_attributes.inc}
  SELECT
    source_row, s,
    JSONExtract(s, concat('Tuple(traceId String, spanId String, startTimeUnixNano String, endTimeUnixNano String, attributes ', attributes,
      ', events Array(Tuple(name String, attributes ', attributes, ')))')) AS t,
    toInt64OrZero(t.startTimeUnixNano) AS begin,
    toInt64OrZero(t.endTimeUnixNano) AS end,
    mapUpdate(as_map(JSONExtract(resource, 'attributes', attributes)), as_map(t.attributes)) AS a,
    arrayMap(e -> (e.name, as_map(e.attributes)), t.events) AS events
  FROM (
    SELECT source_row, r.resource AS resource, s
    FROM {source}
    ARRAY JOIN JSONExtract(json, 'resourceSpans', 'Array(Tuple(resource String, scopeSpans Array(Tuple(spans Array(String)))))') AS r
    ARRAY JOIN arrayFlatten(r.scopeSpans.spans) AS s
  )
)
WHERE (a['gen_ai.operation.name'] IN ('chat', 'text_completion', 'generate_content') OR (a['gen_ai.operation.name'] = '' AND (a['gen_ai.system'] != '' OR a['gen_ai.provider.name'] != '' OR a['llm.model_name'] != '' OR a['gen_ai.request.model'] != '')))
