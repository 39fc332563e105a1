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
  if(mapContains(usage_details, 'input'), usage_details['input'], NULL) AS input_tokens,
  if(mapContains(usage_details, 'output'), usage_details['output'], NULL) AS output_tokens
FROM {source}
WHERE type = 'GENERATION'
