-- format: openai_batch
-- describes: OpenAI batch output, best joined with its input lines (`body`)
-- reads: JSON lines
-- recognise: custom_id response
-- account: safety_identifier, else user, of the response or of the request in `body`; neither: rejected
WITH
  JSONExtractRaw(json, 'response', 'body') AS b,
  JSONExtractRaw(json, 'body') AS q,
  JSONExtractString(b, 'safety_identifier') AS s1,
  JSONExtractString(q, 'safety_identifier') AS s2,
  JSONExtractString(b, 'user') AS u1,
  JSONExtractString(q, 'user') AS u2,
  if(JSONHas(b, 'created'), JSONExtractInt(b, 'created'), JSONExtractInt(b, 'created_at')) AS created
SELECT
  source_row,
  JSONExtractString(json, 'id') AS exchange_id,
  toInt64(created) * 1000 AS ts,
  multiIf(s1 != '', s1, s2 != '', s2, u1 != '', u1, u2) AS account_id,
  multiIf(JSONType(json, 'response') != 'Object', concat('response: missing; the request failed: ', JSONExtractString(json, 'error', 'code')),
          account_id = '', 'account_id: neither safety_identifier nor user; join the batch''s input lines as `body`',
          '') AS reject,
  'api' AS channel,
  JSONExtractString(b, 'model') AS model,
  if(JSONExtractString(json, 'url') != '', JSONExtractString(json, 'url'), JSONExtractString(b, 'object')) AS operation,
  multiIf(JSONType(q, 'messages') = 'Array', JSONExtractRaw(q, 'messages'),
          JSONType(q, 'input') = 'Array', JSONExtractRaw(q, 'input'),
          JSONType(q, 'input') = 'String', concat('[{"role":"user","content":', JSONExtractRaw(q, 'input'), '}]'), '') AS messages,
  JSONExtractRaw(q, 'instructions') AS system,
  JSONExtractRaw(q, 'tools') AS tools,
  if(JSONHas(b, 'choices'), JSONExtractRaw(b, 'choices'), JSONExtractRaw(b, 'output')) AS response_json,
  coalesce(JSONExtract(b, 'usage', 'prompt_tokens', 'Nullable(UInt32)'), JSONExtract(b, 'usage', 'input_tokens', 'Nullable(UInt32)')) AS input_tokens,
  coalesce(JSONExtract(b, 'usage', 'completion_tokens', 'Nullable(UInt32)'), JSONExtract(b, 'usage', 'output_tokens', 'Nullable(UInt32)')) AS output_tokens,
  coalesce(JSONExtract(b, 'usage', 'completion_tokens_details', 'reasoning_tokens', 'Nullable(UInt32)'),
           JSONExtract(b, 'usage', 'output_tokens_details', 'reasoning_tokens', 'Nullable(UInt32)')) AS reasoning_tokens,
  coalesce(JSONExtract(b, 'usage', 'prompt_tokens_details', 'cached_tokens', 'Nullable(UInt32)'),
           JSONExtract(b, 'usage', 'input_tokens_details', 'cached_tokens', 'Nullable(UInt32)')) AS cached_tokens,
  coalesce(JSONExtract(q, 'max_tokens', 'Nullable(UInt32)'), JSONExtract(q, 'max_completion_tokens', 'Nullable(UInt32)'),
           JSONExtract(q, 'max_output_tokens', 'Nullable(UInt32)')) AS max_tokens,
  JSONExtract(q, 'temperature', 'Nullable(Float64)') AS temperature,
  JSONExtract(q, 'top_p', 'Nullable(Float64)') AS top_p,
  0 AS stream,
  JSONExtractUInt(json, 'response', 'status_code') AS status
FROM {source}
