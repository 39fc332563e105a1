-- What a data team would write in an afternoon: exchanges that share a shingle of words (of
-- characters, for scripts without spaces) or a whole system prompt with those of many accounts.
-- {exchanges} and {accounts} are the files, the other words in braces parameters.
WITH
people AS (
  SELECT account_id, payment_id, signup_ip
  FROM file({accounts}, 'JSONEachRow', 'account_id String, org_verified Bool, payment_id String, signup_ip String')
  WHERE NOT org_verified
),
texts AS (
  SELECT exchange_id, account_id, client_ip,
    JSONExtractArrayRaw(messages) AS parts,
    JSONExtractString(arrayLast(m -> JSONExtractString(m, 'role') = 'system', parts), 'content') AS system,
    JSONExtractString(arrayLast(m -> JSONExtractString(m, 'role') = 'user', parts), 'content') AS turn
  FROM file({exchanges}, 'JSONEachRow', 'exchange_id String, account_id String, client_ip String, messages String')
),
keyed AS (
  SELECT exchange_id, account_id, client_ip,
    arrayJoin(arrayFilter(k -> k.2 != 0, [
      ('system', cityHash64(system) * (system != '')),
      ('low', wordShingleMinHashUTF8(turn, {words}, 1).1),
      ('high', wordShingleMinHashUTF8(turn, {words}, 1).2),
      ('longer low', wordShingleMinHashUTF8(turn, {words} + 2, 1).1),
      ('longer high', wordShingleMinHashUTF8(turn, {words} + 2, 1).2),
      ('characters low', ngramMinHashUTF8(turn, 8, 1).1),
      ('characters high', ngramMinHashUTF8(turn, 8, 1).2)])) AS key
  FROM texts WHERE account_id IN (SELECT account_id FROM people)
),
found AS (
  SELECT key, uniqExact(account_id) AS senders, count() AS sent
  FROM keyed INNER JOIN people USING (account_id)
  GROUP BY key
  HAVING senders >= {accounts_min} AND sent >= {exchanges_min} AND sent >= {per_account_min} * senders
    AND (uniqExact(payment_id) <= {shared} * senders OR uniqExact(client_ip) <= {shared} * senders)
)
SELECT exchange_id, any(account_id) AS account, toString(argMax(key, sent)) AS named
FROM keyed INNER JOIN found USING (key)
GROUP BY exchange_id
