// A row of a format's SELECT -> an exchange.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "lake/block.h"
#include "model/exchange.h"

namespace stillwatch::ingest {

// The SELECT with its columns brought to fixed names and types, whatever the format gives and
// leaves out; one thread, so that rows keep their order. `strict`: a number that is none refuses
// its row; else it counts as unknown.
std::string WrapSelect(std::string_view format_sql, bool strict);

// Thread-compatible; views that it fills live until the next call.
class RowReader {
 public:
  explicit RowReader(int64_t now_ms);
  ~RowReader();
  struct Outcome {
    std::string reason;    // empty: the row is an exchange
    bool missing = false;  // a required field: the format may not fit
    uint64_t source_row = 0;
    std::string_view record;  // `source_record`, if the SELECT gives one
  };
  // `b` is of a wrapped SELECT.
  Outcome Read(const lake::Block& b, size_t row, model::ExchangeView* e);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace stillwatch::ingest
