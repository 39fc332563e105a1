// Exchanges on their way into the lake: views in, one Block of table `exchanges` out.
#pragma once

#include "lake/block.h"
#include "model/exchange.h"

namespace stillwatch::engine {

// Thread-compatible; one per worker. Strings are copied, so views may die after Append.
class ExchangeRows {
 public:
  explicit ExchangeRows(uint32_t batch) : batch_(batch) {}
  // `sketch.present` false: the record had neither text nor sketch.
  void Append(const model::ExchangeView& e, uint32_t content, const model::Sketch& sketch);
  size_t rows() const { return ts_.size(); }
  // Hands the rows over and starts anew.
  lake::Block Take();

 private:
  uint32_t batch_;
  lake::StringColumn exchange_id_, account_id_, org_id_, api_key_id_, channel_, model_, operation_,
      tools_, client_ip_, user_agent_, ja4_;
  std::vector<int64_t> ts_;
  std::vector<uint32_t> content_, session_, input_, output_, reasoning_, cached_, max_tokens_,
      latency_;
  std::vector<uint16_t> status_;
  std::vector<uint8_t> stream_;
  std::vector<float> temperature_, top_p_;
  std::vector<uint64_t> features_;
  lake::ArrayColumn<uint64_t> issued_, presented_;
  lake::ArrayColumn<uint32_t> system_, turn_;
};

}  // namespace stillwatch::engine
