-- format: bedrock
-- describes: AWS Bedrock model-invocation log (S3 or CloudWatch export)
-- reads: JSON lines
-- recognise: schemaType modelId requestId identity
-- account: identity.arn, else accountId
WITH
  JSONExtractRaw(json, 'input') AS i,
  JSONExtractRaw(json, 'output') AS o,
  -- The bodies are objects, or the same as a string.
  if(JSONType(i, 'inputBodyJson') = 'String', JSONExtractString(i, 'inputBodyJson'), JSONExtractRaw(i, 'inputBodyJson')) AS body,
  if(JSONType(o, 'outputBodyJson') = 'String', JSONExtractString(o, 'outputBodyJson'), JSONExtractRaw(o, 'outputBodyJson')) AS answer,
  if(startsWith(answer, '['), JSONExtractArrayRaw(answer), []) AS chunks,
  JSONExtractRaw(body, 'inferenceConfig') AS c,
  multiIf(JSONHas(body, 'messages'), JSONExtractArrayRaw(body, 'messages'),
          JSONHas(body, 'prompt'), [concat('{"role":"user","content":', JSONExtractRaw(body, 'prompt'), '}')],
          JSONHas(body, 'inputText'), [concat('{"role":"user","content":', JSONExtractRaw(body, 'inputText'), '}')],
          []) AS turns,
  JSONExtract(i, 'inputTokenCount', 'Nullable(UInt32)') AS fresh,
  JSONExtractUInt(i, 'cacheReadInputTokenCount') AS cache_read,
  JSONExtractUInt(i, 'cacheWriteInputTokenCount') AS cache_write
SELECT
  source_row,
  JSONExtractString(json, 'requestId') AS exchange_id,
  toUnixTimestamp64Milli(parseDateTime64BestEffortOrZero(JSONExtractString(json, 'timestamp'), 3, 'UTC')) AS ts,
  if(JSONExtractString(json, 'identity', 'arn') != '', JSONExtractString(json, 'identity', 'arn'),
     JSONExtractString(json, 'accountId')) AS account_id,
  JSONExtractString(json, 'accountId') AS org_id,
  'cloud:aws.bedrock' AS channel,
  JSONExtractString(json, 'modelId') AS model,
  JSONExtractString(json, 'operation') AS operation,
  JSONExtractRaw(body, 'system') AS system,
  if(empty(turns), '', concat('[', arrayStringConcat(turns, ','), ']')) AS messages,
  multiIf(
    notEmpty(chunks), arrayStringConcat(arrayMap(x -> concat(
      JSONExtractString(x, 'delta', 'text'), JSONExtractString(x, 'contentBlockDelta', 'delta', 'text'),
      JSONExtractString(x, 'generation'), JSONExtractString(x, 'outputText'), JSONExtractString(x, 'completion')), chunks)),
    JSONHas(answer, 'generation'), JSONExtractString(answer, 'generation'),
    JSONHas(answer, 'completion'), JSONExtractString(answer, 'completion'),
    JSONHas(answer, 'results'), JSONExtractString(answer, 'results', 1, 'outputText'),
    '') AS response,
  multiIf(notEmpty(chunks), '',
          JSONHas(answer, 'output', 'message'), JSONExtractRaw(answer, 'output', 'message'),
          JSONHas(answer, 'content'), JSONExtractRaw(answer, 'content'),
          JSONHas(answer, 'choices'), JSONExtractRaw(answer, 'choices'), '') AS response_json,
  -- Of a stream's chunks; elsewhere they are found in the answer.
  if(empty(chunks), '', toJSONString(arrayFilter(x -> x != '', arrayMap(x -> concat(
    JSONExtractString(x, 'delta', 'signature'), JSONExtractString(x, 'content_block', 'data'),
    JSONExtractString(x, 'contentBlockDelta', 'delta', 'reasoningContent', 'signature'),
    JSONExtractString(x, 'contentBlockDelta', 'delta', 'reasoningContent', 'redactedContent')), chunks)))) AS signatures_issued,
  -- The counter leaves out what came from the cache or went into it.
  fresh + cache_read + cache_write AS input_tokens,
  JSONExtract(o, 'outputTokenCount', 'Nullable(UInt32)') AS output_tokens,
  if(JSONHas(i, 'cacheReadInputTokenCount'), cache_read, NULL) AS cached_tokens,
  coalesce(JSONExtract(body, 'max_tokens', 'Nullable(UInt32)'), JSONExtract(c, 'maxTokens', 'Nullable(UInt32)')) AS max_tokens,
  coalesce(JSONExtract(body, 'temperature', 'Nullable(Float64)'), JSONExtract(c, 'temperature', 'Nullable(Float64)')) AS temperature,
  coalesce(JSONExtract(body, 'top_p', 'Nullable(Float64)'), JSONExtract(c, 'topP', 'Nullable(Float64)')) AS top_p,
  if(JSONHas(body, 'tools'), JSONExtractRaw(body, 'tools'), JSONExtractRaw(body, 'toolConfig', 'tools')) AS tools,
  toUInt8(operation IN ('InvokeModelWithResponseStream', 'ConverseStream')) AS stream,
  multiIf(JSONExtractString(json, 'errorCode') = '', 200, JSONExtractString(json, 'errorCode') = 'ThrottlingException', 429,
          JSONExtractString(json, 'errorCode') = 'AccessDeniedException', 403,
          JSONExtractString(json, 'errorCode') = 'ValidationException', 400, 500) AS status
FROM {source}
