-- format: openai_batch
-- describes: OpenAI batch output, best joined with its input lines (`body`)
-- reads: JSON lines
-- recognise: custom_id response
-- account: safety_identifier, else user, of the response or of the request in `body`; neither: rejected
WITH
  -- Each object is taken apart once; what is no string stands as JSON.
  JSONExtract(json, 'Tuple(id String, url String, body String, error Tuple(code String), response Tuple(status_code UInt16, body String))') AS t,
  JSONExtract(t.response.body, 'Tuple(created Int64, created_at Int64, model String, object String, safety_identifier String, user String, choices String,
    output String, usage Tuple(prompt_tokens Nullable(UInt32), input_tokens Nullable(UInt32), completion_tokens Nullable(UInt32), output_tokens Nullable(UInt32),
    completion_tokens_details Tuple(reasoning_tokens Nullable(UInt32)), output_tokens_details Tuple(reasoning_tokens Nullable(UInt32)),
    prompt_tokens_details Tuple(cached_tokens Nullable(UInt32)), input_tokens_details Tuple(cached_tokens Nullable(UInt32))))') AS b,
  JSONExtract(t.body, 'Tuple(safety_identifier String, user String, messages String, input String, instructions String, tools String,
    max_tokens Nullable(UInt32), max_completion_tokens Nullable(UInt32), max_output_tokens Nullable(UInt32), temperature Nullable(Float64),
    top_p Nullable(Float64))') AS q
SELECT
  source_row,
  t.id AS exchange_id,
  if(b.created > 0, b.created, b.created_at) * 1000 AS ts,
  arrayFirst(x -> x != '', [b.safety_identifier, q.safety_identifier, b.user, q.user]) AS account_id,
  multiIf(JSONType(json, 'response') != 'Object', concat('response: missing; the request failed: ', t.error.code),
          account_id = '', 'account_id: neither safety_identifier nor user; join the batch''s input lines as `body`',
          '') AS reject,
  'api' AS channel,
  b.model AS model,
  if(t.url != '', t.url, b.object) AS operation,
  q.instructions AS system,
  multiIf(startsWith(q.messages, '['), q.messages, startsWith(q.input, '[') AND JSONType(t.body, 'input') = 'Array', q.input,
          q.input != '', concat('[{"role":"user","content":', toJSONString(q.input), '}]'), '') AS messages,
  if(b.choices != '', b.choices, b.output) AS response_json,
  coalesce(b.usage.prompt_tokens, b.usage.input_tokens) AS input_tokens,
  coalesce(b.usage.completion_tokens, b.usage.output_tokens) AS output_tokens,
  coalesce(b.usage.completion_tokens_details.reasoning_tokens, b.usage.output_tokens_details.reasoning_tokens) AS reasoning_tokens,
  coalesce(b.usage.prompt_tokens_details.cached_tokens, b.usage.input_tokens_details.cached_tokens) AS cached_tokens,
  coalesce(q.max_tokens, q.max_completion_tokens, q.max_output_tokens) AS max_tokens,
  q.temperature AS temperature,
  q.top_p AS top_p,
  q.tools AS tools,
  0 AS stream,
  t.response.status_code AS status
FROM {source}
