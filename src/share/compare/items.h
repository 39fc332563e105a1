// A party's own items: read, normalised, distinct, by family.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "share/psi/group.h"
#include "share/psi/message.h"

namespace stillwatch::share::compare {

inline constexpr size_t kItemsMax = psi::kAnsweredMax;  // of a set, all families

// Immutable once made: safe for concurrent use.
class ItemSet {
 public:
  struct FamilyItems {
    std::string family;
    std::vector<std::string> values;  // normalised, ascending, distinct
  };
  // Families and values as they were given. InvalidArgument with the index of the first bad one
  // before the reason ("item 3: ..."); ResourceExhausted above kItemsMax.
  static absl::StatusOr<ItemSet> Make(std::vector<std::pair<std::string, std::string>> items);
  // CSV with the header "family,value"; other columns are ignored. InvalidArgument names file and
  // line and never the value.
  static absl::StatusOr<ItemSet> Read(const std::string& path);

  const std::vector<FamilyItems>& families() const { return families_; }  // ascending, none empty
  const FamilyItems* Find(std::string_view family) const;
  size_t size() const { return size_; }
  const psi::Bytes32& digest() const { return digest_; }  // the same for the same items

 private:
  ItemSet() = default;
  absl::Status Finish(std::vector<std::vector<std::string>> by_family);
  std::vector<FamilyItems> families_;
  size_t size_ = 0;
  psi::Bytes32 digest_{};
};

// Whole or not at all, and on the disk when it returns; readable by its owner alone.
absl::Status WriteFile(const std::string& path, std::string_view bytes);
// InvalidArgument when it cannot be read or is longer than `bytes_max`.
absl::StatusOr<std::string> ReadFile(const std::string& path, size_t bytes_max);

}  // namespace stillwatch::share::compare
