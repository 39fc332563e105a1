// The columns of a lake's tables, asked for once for each shape of block.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "lake/lake.h"

namespace stillwatch::lake {

// An engine takes a block with an unknown column in silence and converts types, so names and types
// are checked before an insert. Safe from any thread.
class KnownColumns {
 public:
  // InvalidArgument: the table does not exist, lacks a column of the block's name and type, or the
  // block has one twice. Gives the names of all columns of the table.
  absl::StatusOr<std::shared_ptr<const std::set<std::string>>> Check(Lake& lake,
                                                                     std::string_view table,
                                                                     const Block& block);
  void Forget();  // a statement may have changed a table

 private:
  static constexpr size_t kShapesMax = 256;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<const std::set<std::string>>> shapes_;  // guarded by mutex_
};

}  // namespace stillwatch::lake
