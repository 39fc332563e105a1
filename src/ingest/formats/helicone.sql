-- format: helicone
-- describes: Helicone's request_response_rmt, exported as Parquet with all columns
-- reads: tables
-- recognise: request_body response_body request_created_at proxy_key_id
-- account: user_id, else proxy_key_id
WITH
  ifNull(toString(request_body), '') AS q,
  ifNull(toString(response_body), '') AS r,
  JSONExtractRaw(r, 'usage') AS usage,
  toInt64OrZero(toString((tuple(COLUMNS('^prompt_cache_read_tokens$'), 0)).1)) AS read_column,
  toInt64OrZero(toString((tuple(COLUMNS('^prompt_cache_write_tokens$'), 0)).1)) AS written_column
SELECT
  toString(request_id) AS exchange_id,
  toUnixTimestamp64Milli(toDateTime64(request_created_at, 3, 'UTC')) AS ts,
  if(ifNull(toString(user_id), '') != '', toString(user_id), ifNull(toString(proxy_key_id), '')) AS account_id,
  toString(organization_id) AS org_id,
  ifNull(toString(proxy_key_id), '') AS api_key_id,
  'api' AS channel,
  model,
  JSONExtractRaw(q, 'system') AS system,
  if(JSONHas(q, 'messages'), JSONExtractRaw(q, 'messages'), if(JSONType(q, 'input') = 'Array', JSONExtractRaw(q, 'input'), '')) AS messages,
  multiIf(JSONHas(r, 'choices'), JSONExtractRaw(r, 'choices'), JSONHas(r, 'output'), JSONExtractRaw(r, 'output'), JSONExtractRaw(r, 'content')) AS response_json,
  JSONExtractRaw(q, 'tools') AS tools,
  JSONExtractRaw(q, 'stream') AS stream,
  -- The provider's own count, where the body still has it: OpenAI's prompt_tokens and its Responses' input_tokens (which
  -- come with input_tokens_details) hold the cached ones, Anthropic's input_tokens and Helicone's columns leave them out.
  multiIf(JSONHas(usage, 'prompt_tokens'), JSONExtractInt(usage, 'prompt_tokens'),
          JSONHas(usage, 'input_tokens_details'), JSONExtractInt(usage, 'input_tokens'),
          JSONHas(usage, 'input_tokens'), JSONExtractInt(usage, 'input_tokens') + JSONExtractInt(usage, 'cache_read_input_tokens') + JSONExtractInt(usage, 'cache_creation_input_tokens'),
          ifNull(toInt64(prompt_tokens), -1) < 0, NULL,
          toInt64(prompt_tokens) + read_column + written_column) AS input_tokens,
  completion_tokens AS output_tokens,
  multiIf(JSONHas(usage, 'prompt_tokens_details', 'cached_tokens'), JSONExtractInt(usage, 'prompt_tokens_details', 'cached_tokens'),
          JSONHas(usage, 'input_tokens_details'), JSONExtractInt(usage, 'input_tokens_details', 'cached_tokens'),
          JSONHas(usage, 'cache_read_input_tokens'), JSONExtractInt(usage, 'cache_read_input_tokens'),
          read_column > 0, read_column, NULL) AS cached_tokens,
  latency AS latency_ms,
  status
FROM {source}
