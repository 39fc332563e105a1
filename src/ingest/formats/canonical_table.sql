-- format: canonical_table
-- describes: canonical exchanges as Parquet, CSV or another table: the fields of docs/FORMATS.md as columns
-- reads: tables
-- recognise: exchange_id ts account_id
-- account: account_id
-- values: strict
-- A time is a timestamp or RFC 3339 text. Messages, tools and a sketch are nested columns or JSON as text.
WITH
  (tuple(COLUMNS('^ts$'), NULL)).1 AS time,
  (tuple(COLUMNS('^messages$'), NULL)).1 AS m,
  (tuple(COLUMNS('^tools$'), NULL)).1 AS t,
  (tuple(COLUMNS('^sketch$'), NULL)).1 AS k,
  (tuple(COLUMNS('^response$'), NULL)).1 AS r,
  (tuple(COLUMNS('^reasoning_signatures_issued$'), NULL)).1 AS i,
  (tuple(COLUMNS('^reasoning_signatures_presented$'), NULL)).1 AS p
SELECT
  COLUMNS('^(exchange_id|account_id|org_id|api_key_id|session_id|channel|model|operation|status|input_tokens|output_tokens|reasoning_tokens|cached_tokens|temperature|top_p|max_tokens|stream|client_ip|user_agent|ja4|latency_ms)$'),
  if(match(toTypeName(time), 'DateTime'), toString(toUnixTimestamp64Milli(toDateTime64(time, 3, 'UTC'))), toString(time)) AS ts,
  if(match(toTypeName(time), 'Int|Float|Decimal'), 'ts: a number; expected a timestamp or RFC 3339 text with a zone', '') AS reject,
  if(match(toTypeName(m), 'Tuple|Array|Map'), toJSONString(m), toString(m)) AS messages,
  if(match(toTypeName(t), 'Array'), toJSONString(t), toString(t)) AS tools,
  if(match(toTypeName(k), 'Tuple|Map'), toJSONString(k), toString(k)) AS sketch,
  if(match(toTypeName(r), 'Tuple|Array|Map'), '', toString(r)) AS response,
  if(match(toTypeName(r), 'Tuple|Array|Map'), toJSONString(r), '') AS response_json,
  if(match(toTypeName(i), 'Array'), toJSONString(i), toString(i)) AS signatures_issued,
  if(match(toTypeName(p), 'Array'), toJSONString(p), toString(p)) AS signatures_presented
FROM {source}
