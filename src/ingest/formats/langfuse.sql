-- format: langfuse
-- describes: Langfuse's events_full (v4), or observations (v3) exported with user_id and session_id of their traces
-- reads: Parquet
-- recognise: trace_id provided_model_name usage_details user_id
-- account: user_id
SELECT
  toString((tuple(COLUMNS('^span_id$'), COLUMNS('^id$'))).1) AS exchange_id,
  toUnixTimestamp64Milli(toDateTime64(start_time, 3, 'UTC')) AS ts,
  ifNull(toString(user_id), '') AS account_id,
  if(account_id = '', 'account_id: the trace carries no user_id', '') AS reject,
  toString(project_id) AS org_id,
  ifNull(toString(session_id), '') AS session_id,
  'api' AS channel,
  ifNull(toString(provided_model_name), '') AS model,
  'chat' AS operation,
  ifNull(toString(input), '') AS i,
  multiIf(startsWith(i, '['), i, JSONHas(i, 'messages'), JSONExtractRaw(i, 'messages'),
          i = '', '', concat('[{"role":"user","content":', toJSONString(i), '}]')) AS messages,
  ifNull(toString(output), '') AS o,
  if(isValidJSON(o), '', o) AS response,
  if(isValidJSON(o), o, '') AS response_json,
  -- Its kinds of tokens exclude each other: the cached are not in `input`, those of reasoning not in `output`.
  mapFilter((k, v) -> startsWith(k, 'input') OR match(k, '^cache_[a-z]+_input_tokens$'), usage_details) AS into,
  mapFilter((k, v) -> startsWith(k, 'output') OR k = 'reasoning', usage_details) AS out_of,
  mapFilter((k, v) -> k IN ('input_cached_tokens', 'input_cache_read', 'cache_read_input_tokens'), usage_details) AS cached,
  mapFilter((k, v) -> k IN ('output_reasoning_tokens', 'output_reasoning', 'reasoning'), usage_details) AS reasoned,
  if(empty(into), NULL, arraySum(mapValues(into))) AS input_tokens,
  if(empty(out_of), NULL, arraySum(mapValues(out_of))) AS output_tokens,
  if(empty(cached), NULL, arraySum(mapValues(cached))) AS cached_tokens,
  if(empty(reasoned), NULL, arraySum(mapValues(reasoned))) AS reasoning_tokens
FROM {source}
WHERE type = 'GENERATION'
