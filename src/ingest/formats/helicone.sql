-- format: helicone
-- describes: Helicone's request_response_rmt, exported as Parquet or JSON lines with all columns
-- reads: Parquet
-- recognise: request_body response_body request_created_at proxy_key_id
-- account: user_id, else proxy_key_id
SELECT
  toString(request_id) AS exchange_id,
  toUnixTimestamp64Milli(toDateTime64(request_created_at, 3, 'UTC')) AS ts,
  if(ifNull(toString(user_id), '') != '', toString(user_id), ifNull(toString(proxy_key_id), '')) AS account_id,
  toString(organization_id) AS org_id,
  ifNull(toString(proxy_key_id), '') AS api_key_id,
  'api' AS channel,
  model,
  JSONExtractRaw(ifNull(toString(request_body), ''), 'messages') AS turns,
  if(turns = '', '', if(JSONHas(toString(request_body), 'system'), concat('[{"role":"system","content":', JSONExtractRaw(toString(request_body), 'system'), '},', substring(turns, 2)), turns)) AS messages,
  if(JSONHas(toString(response_body), 'choices'), JSONExtractRaw(toString(response_body), 'choices'), JSONExtractRaw(toString(response_body), 'content')) AS response_json,
  prompt_tokens AS input_tokens,
  completion_tokens AS output_tokens,
  latency AS latency_ms,
  status
FROM {source}
