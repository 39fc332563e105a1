-- format: litellm
-- describes: LiteLLM StandardLoggingPayload (generic API logger, ndjson, json_array or single)
-- reads: JSON lines
-- recognise: call_type startTime model metadata
-- account: metadata.user_api_key_user_id (not default_user_id), else end_user, else user_api_key_hash
WITH
  -- Each object is taken apart once; what is no string stands as JSON.
  JSONExtract(json, 'Tuple(id String, call_type String, trace_id String, status String, model String, end_user String, stream String, startTime Float64,
    endTime Float64, prompt_tokens Nullable(Int64), completion_tokens Nullable(Int64), messages String, response String, requester_ip_address String,
    user_agent String, metadata String, model_parameters String, error_information Tuple(error_code String))') AS t,
  JSONExtract(t.metadata, 'Tuple(user_api_key_user_id String, user_api_key_end_user_id String, user_api_key_hash String, user_api_key_org_id String,
    user_api_key_team_id String, requester_ip_address String, user_agent String, usage_object Tuple(
      completion_tokens_details Tuple(reasoning_tokens Nullable(UInt32)), prompt_tokens_details Tuple(cached_tokens Nullable(UInt32))))') AS m,
  JSONExtract(t.model_parameters, 'Tuple(max_tokens Nullable(UInt32), temperature Nullable(Float64), top_p Nullable(Float64), tools String)') AS p,
  t.status = 'failure' AS failed,
  if(match(t.response, '^[{[]'), JSONType(json, 'response'), 'String') AS kind
SELECT
  source_row,
  t.id AS exchange_id,
  toInt64(round(t.startTime * 1000)) AS ts,
  multiIf(m.user_api_key_user_id NOT IN ('', 'default_user_id'), m.user_api_key_user_id, t.end_user != '', t.end_user,
          m.user_api_key_end_user_id != '', m.user_api_key_end_user_id, m.user_api_key_hash) AS account_id,
  if(m.user_api_key_org_id != '', m.user_api_key_org_id, m.user_api_key_team_id) AS org_id,
  m.user_api_key_hash AS api_key_id,
  t.trace_id AS session_id,
  'api' AS channel,
  t.model AS model,
  t.call_type AS operation,
  if(startsWith(t.messages, '['), t.messages, '') AS messages,
  if(kind = 'String', t.response, '') AS response,
  multiIf(kind != 'Object', '', JSONHas(t.response, 'choices'), JSONExtractRaw(t.response, 'choices'), t.response) AS response_json,
  -- A request that failed counts 0, which is not known.
  nullIf(t.prompt_tokens, if(failed, 0, -1)) AS input_tokens,
  nullIf(t.completion_tokens, if(failed, 0, -1)) AS output_tokens,
  m.usage_object.completion_tokens_details.reasoning_tokens AS reasoning_tokens,
  m.usage_object.prompt_tokens_details.cached_tokens AS cached_tokens,
  p.max_tokens AS max_tokens,
  p.temperature AS temperature,
  p.top_p AS top_p,
  p.tools AS tools,
  t.stream AS stream,
  if(t.endTime > t.startTime, toUInt32(round((t.endTime - t.startTime) * 1000)), 4294967295) AS latency_ms,
  if(t.status = 'success', 200, ifNull(toUInt16OrNull(t.error_information.error_code), 0)) AS status,
  if(t.requester_ip_address != '', t.requester_ip_address, m.requester_ip_address) AS client_ip,
  if(t.user_agent != '', t.user_agent, m.user_agent) AS user_agent
FROM {source}
