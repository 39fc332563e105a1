// One request to a model and its response, as every log format is mapped onto
// (docs/FORMATS.md). Views only: valid during the call that hands the record over.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "model/sketch.h"

namespace stillwatch::model {

inline constexpr uint32_t kNoTokens = std::numeric_limits<uint32_t>::max();

struct ExchangeView {
  // Required.
  std::string_view exchange_id;
  int64_t ts_ms = 0;
  std::string_view account_id;

  // Optional: empty, kNoTokens, NaN or -1 when the log does not say.
  std::string_view org_id, api_key_id, session_id;
  std::string_view channel;  // "api", "web", "cloud:NAME"
  std::string_view model, operation;
  std::string_view client_ip, user_agent, ja4;
  uint32_t input_tokens = kNoTokens;   // cached tokens included
  uint32_t output_tokens = kNoTokens;
  uint32_t reasoning_tokens = kNoTokens;
  uint32_t cached_tokens = kNoTokens;
  float temperature = std::numeric_limits<float>::quiet_NaN();
  float top_p = std::numeric_limits<float>::quiet_NaN();
  uint32_t max_tokens = kNoTokens;
  int32_t status = -1;  // HTTP
  int32_t stream = -1;  // 0 or 1
  uint32_t latency_ms = kNoTokens;
  std::vector<std::string_view> tools;  // names, in the order of the request
  std::vector<std::string_view> signatures_issued, signatures_presented;

  // Text; empty when the log carries none. Parts of one role are joined by "\n".
  std::string_view system, turn, response;  // `turn`: the last message of role user or tool
  uint32_t messages = 0;                    // how many the request carried, system included
  bool has_text = false;

  // A sketch that the log carried in place of text; `has_sketch` says so.
  bool has_sketch = false;
  Sketch sketch;
};

// Why a record was refused; written to rejected.jsonl.
struct Reject {
  std::string source;      // file as given on the command line, "-" for stdin
  uint64_t line = 0;       // 1-based record number in the source
  uint64_t offset = 0;     // byte offset of the record in the decompressed source
  std::string reason;      // what is wrong and where: "ts: not RFC 3339 with a zone: \"yesterday\""
  std::string record;      // the record's first 1,024 bytes at most, never more
};

}  // namespace stillwatch::model
