-- format: wildchat
-- describes: WildChat-1M / 4.8M (Parquet): one exchange per answer
-- reads: Parquet
-- recognise: conversation_hash hashed_ip conversation
-- account: hash of hashed_ip, user-agent and accept-language
SELECT
  concat(conversation_hash, ':', toString(n)) AS exchange_id,
  toUnixTimestamp64Milli(toDateTime64(timestamp, 3, 'UTC')) AS ts,
  lower(hex(sipHash128(concat(ifNull(toString(hashed_ip), ''), '|', ifNull(toString(header.`user-agent`), ''), '|', ifNull(toString(header.`accept-language`), ''))))) AS account_id,
  toString(conversation_hash) AS session_id,
  'web' AS channel,
  model,
  'chat' AS operation,
  concat('[', arrayStringConcat(arrayMap(x -> concat('{"role":', toJSONString(ifNull(toString(x.role), '')), ',"content":', toJSONString(ifNull(toString(x.content), '')), '}'), arraySlice(conversation, 1, n - 1)), ','), ']') AS messages,
  ifNull(toString((conversation[n]).content), '') AS response,
  ifNull(toString(header.`user-agent`), '') AS user_agent
FROM {source}
ARRAY JOIN arrayFilter(k -> (conversation[k]).role = 'assistant', arrayEnumerate(conversation)) AS n
