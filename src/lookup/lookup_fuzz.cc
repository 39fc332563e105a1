// Any bytes as an index of accounts, or a sound one with bytes changed (an odd first byte: then
// three of place and value each): refused by name, or every question has an answer within bounds.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "base/str.h"
#include "lookup/lookup.h"

namespace {

using namespace stillwatch;
using namespace stillwatch::lookup;

class File {
 public:
  File() : fd_(memfd_create("index", 0)) {
    if (fd_ < 0) std::abort();
  }
  ~File() { close(fd_); }
  std::string path() const { return base::StrCat("/proc/self/fd/", fd_); }
  void Write(const std::string& bytes) {
    if (write(fd_, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) std::abort();
  }
  std::string Read() {
    std::string out(static_cast<size_t>(lseek(fd_, 0, SEEK_END)), '\0');
    if (pread(fd_, out.data(), out.size(), 0) != static_cast<ssize_t>(out.size())) std::abort();
    return out;
  }

 private:
  const int fd_;
};

// Three accounts, one without exchanges, that share values of each field.
std::string Sound() {
  File file;
  const auto w = Writer::Create(file.path());
  if (!w.ok()) std::abort();
  std::string bytes;
  std::vector<uint64_t> ends;
  for (uint32_t n = 0; n < 3; ++n) {
    Account a;
    if (n != 1) {
      a.exchanges = 9, a.with_text = 7, a.first_ms = -5, a.last_ms = 1'780'000'000'000;
      a.hours[3] = 9;
    }
    a.created_ms = 1'700'000'000'000;
    for (size_t f = 0; f < kFields; ++f) {
      const bool record = OfRecord(Field(f));
      if (n == 1 && !record) continue;
      for (uint32_t v = 1; v <= (record ? 1 : 2); ++v)
        a.uses[f].push_back({v, record ? 0 : 4u, record ? 0 : a.first_ms, record ? 0 : a.last_ms});
    }
    Writer::Encode(a, &bytes);
    ends.push_back(bytes.size());
  }
  const std::vector<std::string> names = {"", "one", "two"};
  std::array<const std::vector<std::string>*, kFields> values;
  values.fill(&names);
  if (!(*w)->Append(bytes, ends).ok() ||
      !(*w)->Names({"acct-1", "acct-2", "acct-3"}, values).ok() || !(*w)->Finish().ok())
    std::abort();
  return file.Read();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::string sound = Sound();
  std::string bytes;
  if (size > 0 && data[0] & 1) {
    bytes = sound;
    for (size_t i = 1; i + 2 < size; i += 3)
      bytes[(data[i] | data[i + 1] << 8) % bytes.size()] = static_cast<char>(data[i + 2]);
  } else if (size > 0) {
    bytes.assign(reinterpret_cast<const char*>(data) + 1, size - 1);
  }
  File file;
  file.Write(bytes);
  const auto index = Lookup::Open(file.path());
  if (!index.ok()) {
    if (bytes == sound || index.status().message().find(file.path()) != 0) std::abort();
    return 0;
  }
  const Lookup& l = **index;
  if (l.accounts() > bytes.size()) std::abort();
  for (uint32_t a = 0; a <= l.accounts(); ++a) {
    const Account all = l.Read(a), one = l.Read(a, Lookup::Bit(Field::kJa4));
    if (one.of(Field::kJa4) != all.of(Field::kJa4) || one.hours != all.hours) std::abort();
    for (const auto& uses : all.uses)
      for (const Use& u : uses) (void)l.Value(Field::kClientIp, u.value);
    if (const auto at = l.FindAccount(l.AccountId(a)); at && l.AccountId(*at) != l.AccountId(a))
      std::abort();
  }
  for (size_t f = 0; f < kFields; ++f) {
    for (uint32_t v = 0; v <= l.values(Field(f)); ++v) {
      const auto accounts = l.Accounts(Field(f), v);
      if (!std::is_sorted(accounts.begin(), accounts.end())) std::abort();
      if (!accounts.empty() && accounts.back() >= l.accounts()) std::abort();
      if (l.HolderCount(Field(f), v) > l.accounts()) std::abort();
      const auto holders = l.Holders(Field(f), v);
      if (holders.size() > accounts.size()) std::abort();
      const std::string_view value = l.Value(Field(f), v);
      if (const auto at = l.FindValue(Field(f), value); at && l.Value(Field(f), *at) != value)
        std::abort();
    }
  }
  return 0;
}
