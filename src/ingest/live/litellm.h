// LiteLLM's StandardLoggingPayload, as formats/litellm.sql reads it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "ingest/formats/rows.h"
#include "model/exchange.h"

namespace stillwatch::ingest {

// Thread-compatible.
class LitellmReader {
 public:
  LitellmReader();
  ~LitellmReader();
  // A body in any of the logger's shapes: one object, an array of them, one a line. Appends a row
  // for each; what is no payload goes to `reject`.
  void Read(std::string_view body, RowWriter* rows,
            const std::function<void(model::Reject)>& reject);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace stillwatch::ingest
