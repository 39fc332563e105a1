-- format: litellm
-- describes: LiteLLM StandardLoggingPayload (generic API logger, ndjson, json_array or single)
-- reads: JSON lines
-- recognise: call_type startTime model metadata
-- account: metadata.user_api_key_user_id (not default_user_id), else end_user, else user_api_key_hash
WITH
  JSONExtractRaw(json, 'metadata') AS m,
  JSONExtractString(m, 'user_api_key_user_id') AS user,
  JSONExtractRaw(json, 'model_parameters') AS p,
  JSONExtractFloat(json, 'startTime') AS t0,
  JSONExtractFloat(json, 'endTime') AS t1,
  JSONExtractString(json, 'error_information', 'error_code') AS error_code
SELECT
  source_row,
  json AS source_record,
  JSONExtractString(json, 'id') AS exchange_id,
  toInt64(round(t0 * 1000)) AS ts,
  multiIf(user NOT IN ('', 'default_user_id'), user,
          JSONExtractString(json, 'end_user') != '', JSONExtractString(json, 'end_user'),
          JSONExtractString(m, 'user_api_key_end_user_id') != '', JSONExtractString(m, 'user_api_key_end_user_id'),
          JSONExtractString(m, 'user_api_key_hash')) AS account_id,
  if(JSONExtractString(m, 'user_api_key_org_id') != '', JSONExtractString(m, 'user_api_key_org_id'),
     JSONExtractString(m, 'user_api_key_team_id')) AS org_id,
  JSONExtractString(m, 'user_api_key_hash') AS api_key_id,
  JSONExtractString(json, 'trace_id') AS session_id,
  'api' AS channel,
  JSONExtractString(json, 'model') AS model,
  JSONExtractString(json, 'call_type') AS operation,
  if(JSONType(json, 'messages') = 'Array', JSONExtractRaw(json, 'messages'), '') AS messages,
  if(JSONType(json, 'response') = 'String', JSONExtractString(json, 'response'), '') AS response,
  if(JSONHas(json, 'response', 'choices'), JSONExtractRaw(json, 'response', 'choices'),
     if(JSONType(json, 'response') = 'Object', JSONExtractRaw(json, 'response'), '')) AS response_json,
  -- A request that failed counts 0, which is not known.
  JSONExtractString(json, 'status') = 'failure' AS failed,
  nullIf(JSONExtract(json, 'prompt_tokens', 'Nullable(Int64)'), if(failed, 0, -1)) AS input_tokens,
  nullIf(JSONExtract(json, 'completion_tokens', 'Nullable(Int64)'), if(failed, 0, -1)) AS output_tokens,
  JSONExtract(m, 'usage_object', 'completion_tokens_details', 'reasoning_tokens', 'Nullable(UInt32)') AS reasoning_tokens,
  JSONExtract(m, 'usage_object', 'prompt_tokens_details', 'cached_tokens', 'Nullable(UInt32)') AS cached_tokens,
  JSONExtract(p, 'max_tokens', 'Nullable(UInt32)') AS max_tokens,
  JSONExtract(p, 'temperature', 'Nullable(Float64)') AS temperature,
  JSONExtract(p, 'top_p', 'Nullable(Float64)') AS top_p,
  JSONExtractRaw(p, 'tools') AS tools,
  JSONExtractRaw(json, 'stream') AS stream,
  if(t1 > t0, toUInt32(round((t1 - t0) * 1000)), 4294967295) AS latency_ms,
  multiIf(JSONExtractString(json, 'status') = 'success', 200, ifNull(toUInt16OrNull(error_code), 0)) AS status,
  if(JSONExtractString(json, 'requester_ip_address') != '', JSONExtractString(json, 'requester_ip_address'),
     JSONExtractString(m, 'requester_ip_address')) AS client_ip,
  if(JSONExtractString(json, 'user_agent') != '', JSONExtractString(json, 'user_agent'),
     JSONExtractString(m, 'user_agent')) AS user_agent
FROM {source}
