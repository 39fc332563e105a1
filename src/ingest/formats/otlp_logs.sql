-- format: otlp_logs
-- describes: OpenTelemetry logs as OTLP/JSON: gen_ai.client.inference.operation.details
-- reads: JSON lines
-- recognise: resourceLogs
-- account: user.id, enduser.id, user.hash, enduser.pseudo.id (of the span or record, else of its resource); none: rejected
WITH
  mapUpdate(mapFromArrays(arrayMap(x -> JSONExtractString(x, 'key'), JSONExtractArrayRaw(resource, 'attributes')),
    arrayMap(x -> multiIf(JSONHas(x,'value','stringValue'), JSONExtractString(x,'value','stringValue'), JSONHas(x,'value','intValue'), trim(BOTH '"' FROM JSONExtractRaw(x,'value','intValue')), JSONHas(x,'value','doubleValue'), JSONExtractRaw(x,'value','doubleValue'), JSONHas(x,'value','boolValue'), JSONExtractRaw(x,'value','boolValue'), JSONExtractRaw(x,'value')),
      JSONExtractArrayRaw(resource, 'attributes'))),
  mapFromArrays(arrayMap(x -> JSONExtractString(x, 'key'), JSONExtractArrayRaw(s, 'attributes')),
    arrayMap(x -> multiIf(JSONHas(x,'value','stringValue'), JSONExtractString(x,'value','stringValue'), JSONHas(x,'value','intValue'), trim(BOTH '"' FROM JSONExtractRaw(x,'value','intValue')), JSONHas(x,'value','doubleValue'), JSONExtractRaw(x,'value','doubleValue'), JSONHas(x,'value','boolValue'), JSONExtractRaw(x,'value','boolValue'), JSONExtractRaw(x,'value')),
      JSONExtractArrayRaw(s, 'attributes')))) AS a,
  -- Messages of the current names, then of the older dialects.
  multiIf(a['gen_ai.input.messages'] != '', a['gen_ai.input.messages'], '') AS input_now,
  multiIf(a['gen_ai.output.messages'] != '', a['gen_ai.output.messages'], a['gen_ai.completion'] != '', a['gen_ai.completion'], a['output.value'] != '', a['output.value'], '') AS output_now,
  a['gen_ai.system_instructions'] AS instructions,
  arrayMap(n -> concat('{"role":', toJSONString(a[concat('gen_ai.prompt.', toString(n), '.role')]), ',"content":', toJSONString(a[concat('gen_ai.prompt.', toString(n), '.content')]), '}'),
    arraySort(arrayDistinct(arrayFilter(n -> n < 10000, arrayMap(k -> toUInt32OrZero(extract(k, '^gen_ai.prompt[.]([0-9]+)[.]')), arrayFilter(k -> startsWith(k, 'gen_ai.prompt.'), mapKeys(a))))))) AS prompt_old,
  arrayMap(n -> concat('{"role":', toJSONString(a[concat('gen_ai.completion.', toString(n), '.role')]), ',"content":', toJSONString(a[concat('gen_ai.completion.', toString(n), '.content')]), '}'),
    arraySort(arrayDistinct(arrayFilter(n -> n < 10000, arrayMap(k -> toUInt32OrZero(extract(k, '^gen_ai.completion[.]([0-9]+)[.]')), arrayFilter(k -> startsWith(k, 'gen_ai.completion.'), mapKeys(a))))))) AS completion_old,
  arrayMap(n -> concat('{"role":', toJSONString(a[concat('llm.input_messages.', toString(n), '.message.role')]), ',"content":', toJSONString(a[concat('llm.input_messages.', toString(n), '.message.content')]), '}'),
    arraySort(arrayDistinct(arrayFilter(n -> n < 10000, arrayMap(k -> toUInt32OrZero(extract(k, '^llm.input_messages[.]([0-9]+)[.]')), arrayFilter(k -> startsWith(k, 'llm.input_messages.'), mapKeys(a))))))) AS llm_in,
  arrayMap(n -> concat('{"role":', toJSONString(a[concat('llm.output_messages.', toString(n), '.message.role')]), ',"content":', toJSONString(a[concat('llm.output_messages.', toString(n), '.message.content')]), '}'),
    arraySort(arrayDistinct(arrayFilter(n -> n < 10000, arrayMap(k -> toUInt32OrZero(extract(k, '^llm.output_messages[.]([0-9]+)[.]')), arrayFilter(k -> startsWith(k, 'llm.output_messages.'), mapKeys(a))))))) AS llm_out,
  emptyArrayString() AS event_in,
  emptyArrayString() AS event_out
SELECT
  source_row,
  s AS source_record,
  concat(JSONExtractString(s, 'traceId'), if(JSONExtractString(s, 'spanId') = '', '', '-'), JSONExtractString(s, 'spanId')) AS exchange_id,
  intDiv(toInt64OrZero(trim(BOTH '"' FROM if(JSONExtractRaw(s, 'timeUnixNano') IN ('', '"0"', '0'), JSONExtractRaw(s, 'observedTimeUnixNano'), JSONExtractRaw(s, 'timeUnixNano')))), 1000000) AS ts,
  multiIf(a['user.id'] != '', a['user.id'], a['enduser.id'] != '', a['enduser.id'], a['user.hash'] != '', a['user.hash'], a['enduser.pseudo.id'] != '', a['enduser.pseudo.id'], a['langfuse.user.id'] != '', a['langfuse.user.id'], a['traceloop.association.properties.user_id'] != '', a['traceloop.association.properties.user_id'], '') AS account_id,
  if(account_id = '', 'account_id: none of user.id, enduser.id, user.hash, enduser.pseudo.id', '') AS reject,
  multiIf(a['organization.id'] != '', a['organization.id'], a['tenant.id'] != '', a['tenant.id'], '') AS org_id,
  multiIf(a['session.id'] != '', a['session.id'], a['gen_ai.conversation.id'] != '', a['gen_ai.conversation.id'], a['langfuse.session.id'] != '', a['langfuse.session.id'], '') AS session_id,
  'api' AS channel,
  multiIf(a['gen_ai.request.model'] != '', a['gen_ai.request.model'], a['gen_ai.response.model'] != '', a['gen_ai.response.model'], a['llm.model_name'] != '', a['llm.model_name'], a['llm.request.model'] != '', a['llm.request.model'], '') AS model,
  multiIf(a['gen_ai.operation.name'] != '', a['gen_ai.operation.name'], a['llm.request.type'] != '', a['llm.request.type'], a['openinference.span.kind'] != '', a['openinference.span.kind'], '') AS operation,
  if(JSONType(instructions) = 'Array' OR JSONType(instructions) = 'Object', instructions, if(instructions = '', '', toJSONString(instructions))) AS system_json,
  multiIf(
    input_now != '' AND system_json = '', input_now,
    input_now != '' AND startsWith(input_now, '['), concat('[{"role":"system","content":', system_json, '}', if(empty(JSONExtractArrayRaw(input_now)), '', ','), substring(input_now, 2)),
    input_now != '', concat('{"arrayValue":{"values":[{"kvlistValue":{"values":[{"key":"role","value":{"stringValue":"system"}},{"key":"parts","value":', if(startsWith(system_json, '{'), system_json, concat('{"stringValue":', toJSONString(instructions), '}')), '}]}}', if(empty(JSONExtractArrayRaw(input_now, 'arrayValue', 'values')), '', ','), arrayStringConcat(JSONExtractArrayRaw(input_now, 'arrayValue', 'values'), ','), ']}}'),
    notEmpty(prompt_old), concat('[', arrayStringConcat(prompt_old, ','), ']'),
    notEmpty(llm_in), concat('[', arrayStringConcat(llm_in, ','), ']'),
    notEmpty(event_in), concat('[', arrayStringConcat(event_in, ','), ']'),
    '') AS messages,
  multiIf(output_now != '' AND isValidJSON(output_now), '', output_now) AS response,
  multiIf(output_now != '' AND isValidJSON(output_now), output_now,
    output_now != '', '',
    notEmpty(completion_old), concat('[', arrayStringConcat(completion_old, ','), ']'),
    notEmpty(llm_out), concat('[', arrayStringConcat(llm_out, ','), ']'),
    notEmpty(event_out), concat('[', arrayStringConcat(event_out, ','), ']'), '') AS response_json,
  multiIf(a['gen_ai.usage.input_tokens'] != '', a['gen_ai.usage.input_tokens'], a['gen_ai.usage.prompt_tokens'] != '', a['gen_ai.usage.prompt_tokens'], a['llm.token_count.prompt'] != '', a['llm.token_count.prompt'], '') AS input_tokens,
  multiIf(a['gen_ai.usage.output_tokens'] != '', a['gen_ai.usage.output_tokens'], a['gen_ai.usage.completion_tokens'] != '', a['gen_ai.usage.completion_tokens'], a['llm.token_count.completion'] != '', a['llm.token_count.completion'], '') AS output_tokens,
  multiIf(a['gen_ai.usage.reasoning.output_tokens'] != '', a['gen_ai.usage.reasoning.output_tokens'], a['llm.token_count.completion_details.reasoning'] != '', a['llm.token_count.completion_details.reasoning'], '') AS reasoning_tokens,
  multiIf(a['gen_ai.usage.cache_read.input_tokens'] != '', a['gen_ai.usage.cache_read.input_tokens'], a['llm.token_count.prompt_details.cache_read'] != '', a['llm.token_count.prompt_details.cache_read'], '') AS cached_tokens,
  multiIf(a['gen_ai.request.max_tokens'] != '', a['gen_ai.request.max_tokens'], a['llm.request.max_tokens'] != '', a['llm.request.max_tokens'], '') AS max_tokens,
  a['gen_ai.request.temperature'] AS temperature,
  a['gen_ai.request.top_p'] AS top_p,
  multiIf(a['gen_ai.request.stream'] = 'true', 1, a['gen_ai.request.stream'] = 'false', 0, 2) AS stream,
  multiIf(a['http.response.status_code'] != '', a['http.response.status_code'], '') AS status,
  multiIf(a['client.address'] != '', a['client.address'], '') AS client_ip,
  multiIf(a['user_agent.original'] != '', a['user_agent.original'], '') AS user_agent
FROM (
  SELECT source_row, JSONExtractRaw(r, 'resource') AS resource, s
  FROM {source}
  ARRAY JOIN JSONExtractArrayRaw(json, 'resourceLogs') AS r
  ARRAY JOIN JSONExtractArrayRaw(r, 'scopeLogs') AS scope
  ARRAY JOIN JSONExtractArrayRaw(scope, 'logRecords') AS s
)
WHERE JSONExtractString(s, 'eventName') = 'gen_ai.client.inference.operation.details'
