-- format: otlp_logs
-- describes: OpenTelemetry logs as OTLP/JSON: an event per exchange, or the older events of one message each
-- reads: JSON lines
-- recognise: resourceLogs
-- account: as otlp_traces
WITH
{include otlp_helpers.inc},
  -- An older event is one message of a span's exchange; its content is in the body.
  message['content'] AS content,
  multiIf(NOT older OR name = 'gen_ai.choice', '',
    concat('[{"role":"', splitByChar('.', name)[2], '","content":', if(startsWith(content, '{"arrayValue"') OR startsWith(content, '{"kvlistValue"'), content, toJSONString(content)), '}]')) AS events_in,
  if(older AND name = 'gen_ai.choice', concat('[', body, ']'), '') AS events_out
SELECT
  source_row,
  substring(s, 1, 1024) AS source_record,
  concat(t.traceId, if(t.spanId = '', '', '-'), t.spanId) AS exchange_id,
  if(older, exchange_id, '') AS part_of,
  if(toUInt64OrZero(t.timeUnixNano) > 0, toUInt64OrZero(t.timeUnixNano), toUInt64OrZero(t.observedTimeUnixNano)) AS part_order,
  intDiv(part_order, 1000000) AS ts,
{include otlp_columns.inc}
FROM (
  WITH
{include otlp_attributes.inc}
  SELECT
    source_row, s,
    JSONExtract(s, concat('Tuple(traceId String, spanId String, timeUnixNano String, observedTimeUnixNano String, eventName String, body String, attributes ', attributes, ')')) AS t,
    mapUpdate(as_map(JSONExtract(resource, 'attributes', attributes)), as_map(t.attributes)) AS a,
    if(t.eventName != '', t.eventName, a['event.name']) AS name,
    match(name, '^gen_ai[.]((system|user|assistant|tool)[.]message|choice)$') AS older,
    JSONExtractRaw(s, 'body') AS body,
    as_map(JSONExtract(body, 'kvlistValue', 'values', attributes)) AS message
  FROM (
    SELECT source_row, r.resource AS resource, s
    FROM {source}
    ARRAY JOIN JSONExtract(json, 'resourceLogs', 'Array(Tuple(resource String, scopeLogs Array(Tuple(logRecords Array(String)))))') AS r
    ARRAY JOIN arrayFlatten(r.scopeLogs.logRecords) AS s
  )
)
WHERE older OR name = 'gen_ai.client.inference.operation.details'
