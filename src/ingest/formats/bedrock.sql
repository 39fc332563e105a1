-- format: bedrock
-- describes: AWS Bedrock model-invocation log (S3 or CloudWatch export)
-- reads: JSON lines
-- recognise: schemaType modelId requestId identity
-- account: identity.arn, else accountId
WITH
  -- Each object is taken apart once; what is no string stands as JSON. The bodies are objects, or the same as a string.
  JSONExtract(json, 'Tuple(requestId String, timestamp String, accountId String, identity Tuple(arn String), modelId String, operation String,
    errorCode String, input Tuple(inputBodyJson String, inputTokenCount Nullable(UInt32), cacheReadInputTokenCount Nullable(UInt32),
    cacheWriteInputTokenCount Nullable(UInt32)), output Tuple(outputBodyJson String, outputTokenCount Nullable(UInt32)))') AS t,
  t.output.outputBodyJson AS answer,
  if(startsWith(answer, '['), JSONExtractArrayRaw(answer), []) AS chunks,
  JSONExtract(t.input.inputBodyJson, 'Tuple(system String, messages String, prompt String, inputText String, max_tokens Nullable(UInt32),
    temperature Nullable(Float64), top_p Nullable(Float64), tools String, toolConfig Tuple(tools String),
    inferenceConfig Tuple(maxTokens Nullable(UInt32), temperature Nullable(Float64), topP Nullable(Float64)))') AS q,
  JSONExtract(if(empty(chunks), answer, '{}'), 'Tuple(output Tuple(message String), content String, choices String, generation String, completion String,
    results Array(Tuple(outputText String)))') AS r,
  concat(q.prompt, q.inputText) AS prompt
SELECT
  source_row,
  t.requestId AS exchange_id,
  toUnixTimestamp64Milli(parseDateTime64BestEffortOrZero(t.timestamp, 3, 'UTC')) AS ts,
  if(t.identity.arn != '', t.identity.arn, t.accountId) AS account_id,
  t.accountId AS org_id,
  'cloud:aws.bedrock' AS channel,
  t.modelId AS model,
  t.operation AS operation,
  q.system AS system,
  multiIf(startsWith(q.messages, '['), q.messages, prompt = '', '', concat('[{"role":"user","content":', toJSONString(prompt), '}]')) AS messages,
  if(notEmpty(chunks), arrayStringConcat(arrayMap(x -> concat(
      JSONExtractString(x, 'delta', 'text'), JSONExtractString(x, 'contentBlockDelta', 'delta', 'text'),
      JSONExtractString(x, 'generation'), JSONExtractString(x, 'outputText'), JSONExtractString(x, 'completion')), chunks)),
    concat(r.generation, r.completion, r.results[1].outputText)) AS response,
  arrayFirst(x -> x != '', [r.output.message, r.content, r.choices]) AS response_json,
  -- Of a stream's chunks; elsewhere they are found in the answer.
  if(empty(chunks), '', toJSONString(arrayFilter(x -> x != '', arrayMap(x -> concat(
    JSONExtractString(x, 'delta', 'signature'), JSONExtractString(x, 'content_block', 'data'),
    JSONExtractString(x, 'contentBlockDelta', 'delta', 'reasoningContent', 'signature'),
    JSONExtractString(x, 'contentBlockDelta', 'delta', 'reasoningContent', 'redactedContent')), chunks)))) AS signatures_issued,
  -- The counter leaves out what came from the cache or went into it.
  t.input.inputTokenCount + ifNull(t.input.cacheReadInputTokenCount, 0) + ifNull(t.input.cacheWriteInputTokenCount, 0) AS input_tokens,
  t.output.outputTokenCount AS output_tokens,
  t.input.cacheReadInputTokenCount AS cached_tokens,
  coalesce(q.max_tokens, q.inferenceConfig.maxTokens) AS max_tokens,
  coalesce(q.temperature, q.inferenceConfig.temperature) AS temperature,
  coalesce(q.top_p, q.inferenceConfig.topP) AS top_p,
  if(q.tools != '', q.tools, q.toolConfig.tools) AS tools,
  toUInt8(t.operation IN ('InvokeModelWithResponseStream', 'ConverseStream')) AS stream,
  multiIf(t.errorCode = '', 200, t.errorCode = 'ThrottlingException', 429, t.errorCode = 'AccessDeniedException', 403,
          t.errorCode = 'ValidationException', 400, 500) AS status
FROM {source}
