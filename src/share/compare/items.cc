#include "share/compare/items.h"

#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/csv.h"
#include "base/str.h"
#include "base/write_file.h"
#include "share/psi/items.h"

namespace stillwatch::share::compare {

using base::StrCat;

namespace {

std::string Text(const absl::Status& s) { return {s.message().data(), s.message().size()}; }

absl::Status TooMany() {
  return absl::ResourceExhaustedError(
      StrCat("more than ", kItemsMax, " items; compare them in several sets"));
}

absl::Status Take(std::string_view family, std::string_view value, size_t* count,
                  std::vector<std::vector<std::string>>* by_family) {
  auto v = psi::Normalise(family, value);
  if (!v.ok()) return v.status();
  if (++*count > kItemsMax) return TooMany();
  (*by_family)[size_t(psi::FamilyIndex(family))].push_back(*std::move(v));
  return absl::OkStatus();
}

}  // namespace

absl::Status ItemSet::Finish(std::vector<std::vector<std::string>> by_family) {
  crypto_generichash_state hash;
  crypto_generichash_init(&hash, nullptr, 0, digest_.size());
  for (size_t i = 0; i < by_family.size(); ++i) {
    auto& values = by_family[i];
    if (values.empty()) continue;
    std::sort(values.begin(), values.end());
    values.erase(std::unique(values.begin(), values.end()), values.end());
    FamilyItems f{std::string(psi::Families()[i].name), std::move(values)};
    for (const std::string& v : f.values) {
      const std::string input = psi::HashInput(f.family, v);
      crypto_generichash_update(&hash, reinterpret_cast<const uint8_t*>(input.data()),
                                input.size());
    }
    size_ += f.values.size();
    families_.push_back(std::move(f));
  }
  crypto_generichash_final(&hash, digest_.data(), digest_.size());
  return size_ > 0 ? absl::OkStatus() : absl::InvalidArgumentError("there are no items");
}

absl::StatusOr<ItemSet> ItemSet::Make(std::vector<std::pair<std::string, std::string>> items) {
  std::vector<std::vector<std::string>> by_family(psi::Families().size());
  size_t count = 0;
  for (const auto& [family, value] : items) {
    const absl::Status s = Take(family, value, &count, &by_family);
    if (!s.ok()) return absl::Status(s.code(), StrCat("item ", count + 1, ": ", Text(s)));
  }
  ItemSet out;
  if (absl::Status s = out.Finish(std::move(by_family)); !s.ok()) return s;
  return out;
}

absl::StatusOr<ItemSet> ItemSet::Read(const std::string& path) {
  auto csv = base::CsvReader::Open(path, "family,value");
  if (!csv.ok()) return csv.status();
  std::vector<std::vector<std::string>> by_family(psi::Families().size());
  size_t count = 0;
  std::vector<std::string> cells;
  for (;;) {
    auto more = csv->Next(&cells);
    if (!more.ok()) return more.status();
    if (!*more) break;
    const absl::Status s = Take(cells[0], cells[1], &count, &by_family);
    if (!s.ok()) return absl::Status(s.code(), StrCat(csv->Where(), ": ", Text(s)));
  }
  ItemSet out;
  if (absl::Status s = out.Finish(std::move(by_family)); !s.ok())
    return absl::InvalidArgumentError(StrCat(path, ": ", Text(s)));
  return out;
}

const ItemSet::FamilyItems* ItemSet::Find(std::string_view family) const {
  for (const FamilyItems& f : families_) {
    if (f.family == family) return &f;
  }
  return nullptr;
}

absl::Status WriteFile(const std::string& path, std::string_view bytes) {
  const int error = base::WriteFileDurably(path, bytes);
  if (error == 0) return absl::OkStatus();
  return absl::UnavailableError(StrCat(path, ": cannot be written: ", std::strerror(error)));
}

absl::StatusOr<std::string> ReadFile(const std::string& path, size_t bytes_max) {
  const auto bad = [&](std::string_view why) {
    return absl::InvalidArgumentError(StrCat(path, ": ", why));
  };
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return bad(StrCat("cannot be read: ", std::strerror(errno)));
  std::string out;
  char part[1 << 16];
  ssize_t n = 0;
  while ((n = read(fd, part, sizeof part)) != 0 && out.size() <= bytes_max) {
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) break;
    out.append(part, size_t(n));
  }
  const int error = errno;
  close(fd);
  if (n < 0) return bad(StrCat("cannot be read: ", std::strerror(error)));
  if (out.size() > bytes_max) return bad(StrCat("longer than ", bytes_max, " bytes"));
  return out;
}

}  // namespace stillwatch::share::compare
