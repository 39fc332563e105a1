// Account records as rows of the lake's table `accounts`.
#pragma once

#include <cstdint>
#include <vector>

#include "ingest/jsonl/side_files.h"
#include "lake/block.h"

namespace stillwatch::ingest {

class AccountBlock {
 public:
  void Add(const AccountRow& row);
  size_t rows() const { return content_.size(); }
  lake::Block Take();  // what was added; none is left

 private:
  lake::StringColumn id_, org_, plan_, channel_, domain_, payment_, kyc_, country_, citizenship_,
      referrer_, ip_;
  std::vector<uint32_t> content_;
  std::vector<int64_t> created_;
  std::vector<uint8_t> verified_;
};

}  // namespace stillwatch::ingest
