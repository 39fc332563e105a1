#include "engine/exchange_rows.h"

#include "base/hash.h"

namespace stillwatch::engine {

void ExchangeRows::Append(const model::ExchangeView& e, uint32_t content,
                          const model::Sketch& sketch) {
  exchange_id_.Append(e.exchange_id);
  account_id_.Append(e.account_id);
  org_id_.Append(e.org_id);
  api_key_id_.Append(e.api_key_id);
  channel_.Append(e.channel);
  model_.Append(e.model);
  operation_.Append(e.operation);
  for (size_t i = 0; i < e.tools.size(); ++i) {
    if (i > 0) tools_.bytes.push_back(',');
    tools_.bytes.append(e.tools[i]);
  }
  tools_.ends.push_back(tools_.bytes.size());
  client_ip_.Append(e.client_ip);
  user_agent_.Append(e.user_agent);
  ja4_.Append(e.ja4);
  ts_.push_back(e.ts_ms);
  content_.push_back(content);
  // 0 stands for "none", so the one hash that is 0 becomes 1.
  const uint32_t session = static_cast<uint32_t>(base::Hash64(e.session_id));
  session_.push_back(e.session_id.empty() ? 0 : session == 0 ? 1 : session);
  input_.push_back(e.input_tokens);
  output_.push_back(e.output_tokens);
  reasoning_.push_back(e.reasoning_tokens);
  cached_.push_back(e.cached_tokens);
  max_tokens_.push_back(e.max_tokens);
  latency_.push_back(e.latency_ms);
  status_.push_back(e.status < 0 ? 0 : static_cast<uint16_t>(e.status));
  stream_.push_back(e.stream < 0 ? 2 : static_cast<uint8_t>(e.stream));
  temperature_.push_back(e.temperature);
  top_p_.push_back(e.top_p);
  const auto hashes = [](const auto& values, lake::ArrayColumn<uint64_t>* column) {
    for (const auto& v : values) column->values.push_back(base::Hash64(v));
    column->ends.push_back(column->values.size());
  };
  hashes(e.signatures_issued, &issued_);
  hashes(e.signatures_presented, &presented_);
  uint64_t features = sketch.present ? sketch.features.Pack() : 0;
  if (sketch.present && features == 0) features = uint64_t{1} << 56;  // one message, nothing else
  features_.push_back(features);
  system_.Append(sketch.system.begin(), sketch.system.end());
  turn_.Append(sketch.turn.begin(), sketch.turn.end());
}

lake::Block ExchangeRows::Take() {
  lake::Block b;
  std::vector<uint32_t> batch(rows(), batch_);
  const auto add = [&](const char* name, auto& column) {
    b.columns.push_back({name, std::move(column)});
    column = {};
  };
  add("exchange_id", exchange_id_);
  add("content", content_);
  add("batch", batch);
  add("ts", ts_);
  add("account_id", account_id_);
  add("org_id", org_id_);
  add("api_key_id", api_key_id_);
  add("session", session_);
  add("channel", channel_);
  add("model", model_);
  add("operation", operation_);
  add("status", status_);
  add("input_tokens", input_);
  add("output_tokens", output_);
  add("reasoning_tokens", reasoning_);
  add("cached_tokens", cached_);
  add("temperature", temperature_);
  add("top_p", top_p_);
  add("max_tokens", max_tokens_);
  add("tools", tools_);
  add("stream", stream_);
  add("client_ip", client_ip_);
  add("user_agent", user_agent_);
  add("ja4", ja4_);
  add("latency_ms", latency_);
  add("signatures_issued", issued_);
  add("signatures_presented", presented_);
  add("features", features_);
  add("system_sketch", system_);
  add("turn_sketch", turn_);
  return b;
}

}  // namespace stillwatch::engine
