#include "lake/columns.h"

#include <utility>

#include "base/str.h"

namespace stillwatch::lake {

using base::StrCat;

absl::StatusOr<std::shared_ptr<const std::set<std::string>>> KnownColumns::Check(
    Lake& lake, std::string_view table, const Block& block) {
  std::string key(table);
  for (const Column& c : block.columns) base::StrAppend(&key, '\0', c.name, ' ', TypeName(c.data));
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (const auto it = shapes_.find(key); it != shapes_.end()) return it->second;
  }
  std::set<std::pair<std::string, std::string>> known;
  const auto names = std::make_shared<std::set<std::string>>();
  absl::Status status = lake.Query(
      StrCat(
          "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = ",
          SqlString(table)),
      [&](const Block& b) {
        for (size_t i = 0; i < b.rows(); ++i) {
          known.emplace(b.columns[0].As<StringColumn>()[i], b.columns[1].As<StringColumn>()[i]);
          names->emplace(b.columns[0].As<StringColumn>()[i]);
        }
        return absl::OkStatus();
      });
  if (!status.ok()) return status;
  if (known.empty()) return absl::InvalidArgumentError(StrCat("lake: there is no table ", table));
  std::set<std::string> seen;
  for (const Column& c : block.columns) {
    if (!known.contains({c.name, TypeName(c.data)})) {
      return absl::InvalidArgumentError(
          StrCat("lake: table ", table, " has no column ", c.name, " ", TypeName(c.data)));
    }
    if (!seen.insert(c.name).second) {
      return absl::InvalidArgumentError(
          StrCat("lake: column ", c.name, " is twice in a block for table ", table));
    }
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  if (shapes_.size() >= kShapesMax) shapes_.clear();
  shapes_[std::move(key)] = names;
  return std::shared_ptr<const std::set<std::string>>(names);
}

void KnownColumns::Forget() {
  const std::lock_guard<std::mutex> lock(mutex_);
  shapes_.clear();
}

}  // namespace stillwatch::lake
