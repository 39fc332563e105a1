-- format: lmsys
-- describes: LMSYS-Chat-1M (Parquet): content only, it names neither person nor time
-- reads: Parquet
-- recognise: conversation_id openai_moderation conversation
-- account: conversation_id; linking accounts is out of reach
-- time: none; all records count under the one that --since names
SELECT
  concat(toString(conversation_id), ':', toString(n)) AS exchange_id,
  toInt64({since}) AS ts,
  toString(conversation_id) AS account_id,
  toString(conversation_id) AS session_id,
  'web' AS channel,
  model,
  'chat' AS operation,
  concat('[', arrayStringConcat(arrayMap(x -> concat('{"role":', toJSONString(ifNull(toString(x.role), '')), ',"content":', toJSONString(ifNull(toString(x.content), '')), '}'), arraySlice(conversation, 1, n - 1)), ','), ']') AS messages,
  ifNull(toString((conversation[n]).content), '') AS response
FROM {source}
ARRAY JOIN arrayFilter(k -> (conversation[k]).role = 'assistant', arrayEnumerate(conversation)) AS n
