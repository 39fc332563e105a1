-- Tables of the first version. The dialect is what ClickHouse 18.16 and 26.7 both understand.
-- Statements are separated by a line that holds only ";".
CREATE TABLE IF NOT EXISTS exchanges
(
    exchange_id String,
    content UInt32,            -- hash of the record's canonical form; smallest wins per exchange_id
    batch UInt32,              -- ingest that brought it (table ingests)
    ts Int64,                  -- ms since 1970
    account_id String,
    org_id String,
    api_key_id String,
    session UInt32,            -- hash of session_id, 0: none
    channel String,
    model String,
    operation String,
    status UInt16,             -- 0: unknown
    input_tokens UInt32,       -- 4294967295: unknown, as below
    output_tokens UInt32,
    reasoning_tokens UInt32,
    cached_tokens UInt32,
    temperature Float32,       -- nan: unknown
    top_p Float32,
    max_tokens UInt32,
    tools String,              -- names joined by ","
    stream UInt8,              -- 2: unknown
    client_ip String,
    user_agent String,
    ja4 String,
    latency_ms UInt32,
    signatures_issued Array(UInt64),     -- hashes
    signatures_presented Array(UInt64),
    features UInt64,           -- model/sketch.h TextFeatures::Pack; 0: no text
    system_sketch Array(UInt32),
    turn_sketch Array(UInt32)
)
ENGINE = ReplacingMergeTree
ORDER BY (account_id, ts, exchange_id, content)
;
CREATE TABLE IF NOT EXISTS accounts
(
    account_id String,
    content UInt32,
    created_at Int64,          -- ms since 1970; -9223372036854775808: unknown
    org_id String,
    org_verified UInt8,
    plan String,
    channel String,
    email_domain String,
    payment_id String,
    kyc String,
    country String,            -- for directives alone
    citizenship String,        -- for directives alone
    referrer String,
    signup_ip String
)
ENGINE = ReplacingMergeTree
ORDER BY (account_id, content)
;
CREATE TABLE IF NOT EXISTS ingests
(
    batch UInt32,
    state String,              -- "begun" or "done"
    source String,             -- hash of the sources' names
    records UInt64,
    rejected UInt64
)
ENGINE = ReplacingMergeTree
ORDER BY (batch, state)
;
CREATE TABLE IF NOT EXISTS specimens
(
    exchange_id String,
    campaign_id String,
    text String,
    expires Int64              -- ms since 1970
)
ENGINE = ReplacingMergeTree
ORDER BY (campaign_id, exchange_id)
;
CREATE TABLE IF NOT EXISTS attributed
(
    run UInt32,
    exchange_id String,
    account_id String,
    campaign_id String
)
ENGINE = MergeTree
ORDER BY (campaign_id, account_id, exchange_id)
;
