#include "lookup/lookup.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "base/str.h"
#include "lookup/format.h"

namespace stillwatch::lookup {

using base::StrCat;

static_assert(std::endian::native == std::endian::little, "the file is mapped as it lies");

namespace {
constexpr const char* kNames[kFields] = {
    "model",          "channel",      "ja4",        "user_agent", "api_key_id",    "org_id",
    "signup_ip",      "email_domain", "payment_id", "referrer",   "record.org_id", "plan",
    "record.channel", "kyc",          "client_ip"};
}  // namespace

const char* FieldName(Field f) { return kNames[static_cast<size_t>(f)]; }

std::optional<Field> FieldOf(std::string_view name) {
  for (size_t f = 0; f < kFields; ++f)
    if (name == kNames[f]) return static_cast<Field>(f);
  return std::nullopt;
}

absl::StatusOr<std::shared_ptr<const Lookup>> Lookup::Open(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    const std::string text = StrCat(path, ": ", std::strerror(errno));
    return errno == ENOENT ? absl::NotFoundError(text) : absl::FailedPreconditionError(text);
  }
  struct stat about = {};
  std::shared_ptr<Lookup> out(new Lookup);
  if (fstat(fd, &about) == 0) out->size_ = static_cast<uint64_t>(about.st_size);
  void* map = out->size_ < sizeof(Header) ? MAP_FAILED
                                          : mmap(nullptr, out->size_, PROT_READ, MAP_SHARED, fd, 0);
  close(fd);
  if (map == MAP_FAILED)
    return absl::InvalidArgumentError(StrCat(path, ": is no index of accounts, or cut short"));
  out->map_ = static_cast<const char*>(map);
  out->as_of_ms_ = int64_t{about.st_mtim.tv_sec} * 1000 + about.st_mtim.tv_nsec / 1'000'000;
  if (absl::Status s = out->Check(path); !s.ok()) return s;
  return std::shared_ptr<const Lookup>(std::move(out));
}

Lookup::~Lookup() {
  if (map_ != nullptr) munmap(const_cast<char*>(map_), size_);
}

absl::Status Lookup::Check(const std::string& path) const {
  const absl::Status bad = absl::InvalidArgumentError(
      StrCat(path, ": is not an index of accounts as this version writes it; the next scan does"));
  const Header& h = *reinterpret_cast<const Header*>(map_);
  if (std::memcmp(h.magic, kMagic, sizeof kMagic) != 0 || h.size != size_) return bad;
  for (const SectionAt& s : h.sections) {
    if (s.bytes > size_ || s.length > size_ - s.bytes || s.ends % 8 != 0 || s.ends > size_ ||
        s.count > (size_ - s.ends) / 8)
      return bad;
  }
  if (h.sections[kAccountNames].count != h.sections[kAccountData].count ||
      h.sections[kAccountNames].count > UINT32_MAX)
    return bad;
  for (size_t f = 0; f <= kFields; ++f)  // the last: templates
    if (h.sections[ValueNames(f)].count != h.sections[ValueHolders(f)].count) return bad;
  return absl::OkStatus();
}

uint64_t Lookup::Count(size_t section) const {
  return reinterpret_cast<const Header*>(map_)->sections[section].count;
}

std::string_view Lookup::Item(size_t section, uint64_t i) const {
  const SectionAt& s = reinterpret_cast<const Header*>(map_)->sections[section];
  if (i >= s.count) return {};
  uint64_t begin = 0, end = 0;
  if (i > 0) std::memcpy(&begin, map_ + s.ends + 8 * (i - 1), 8);
  std::memcpy(&end, map_ + s.ends + 8 * i, 8);
  if (begin > end || end > s.length) return {};
  return {map_ + s.bytes + begin, end - begin};
}

std::optional<uint32_t> Lookup::Find(size_t section, std::string_view name) const {
  uint64_t low = 0, high = Count(section);
  while (low < high) {
    const uint64_t middle = low + (high - low) / 2;
    if (Item(section, middle) < name)
      low = middle + 1;
    else
      high = middle;
  }
  if (low == Count(section) || Item(section, low) != name) return std::nullopt;
  return static_cast<uint32_t>(low);
}

uint32_t Lookup::accounts() const { return static_cast<uint32_t>(Count(kAccountNames)); }
uint32_t Lookup::active() const {
  return static_cast<uint32_t>(reinterpret_cast<const Header*>(map_)->active);
}
std::string_view Lookup::AccountId(uint32_t a) const { return Item(kAccountNames, a); }
std::optional<uint32_t> Lookup::FindAccount(std::string_view id) const {
  return Find(kAccountNames, id);
}

Account Lookup::Read(uint32_t account, uint32_t only) const {
  Account a;
  Decode(Item(kAccountData, account), only, &a);
  return a;
}

uint32_t Lookup::values(Field f) const {
  return static_cast<uint32_t>(Count(ValueNames(static_cast<size_t>(f))));
}
std::string_view Lookup::Value(Field f, uint32_t value) const {
  return Item(ValueNames(static_cast<size_t>(f)), value);
}
std::optional<uint32_t> Lookup::FindValue(Field f, std::string_view value) const {
  return Find(ValueNames(static_cast<size_t>(f)), value);
}

uint32_t Lookup::HolderCount(Field f, uint32_t value) const {
  Cursor c(Item(ValueHolders(static_cast<size_t>(f)), value));
  return static_cast<uint32_t>(std::min<uint64_t>(c.Varint(), accounts()));
}

std::vector<uint32_t> Lookup::Accounts(Field f, uint32_t value) const {
  Cursor c(Item(ValueHolders(static_cast<size_t>(f)), value));
  std::vector<uint32_t> out;
  uint64_t account = 0;
  for (uint64_t n = c.Varint(); n > 0 && !c.bad(); --n) {
    account += c.Varint();
    if (account >= accounts() || c.bad()) break;
    out.push_back(static_cast<uint32_t>(account));
  }
  return out;
}

std::vector<Holder> Lookup::Holders(Field f, uint32_t value) const {
  std::vector<Holder> out;
  Account a;
  for (const uint32_t account : Accounts(f, value)) {
    Decode(Item(kAccountData, account), Bit(f), &a);
    const auto& uses = a.of(f);
    const auto it = std::lower_bound(uses.begin(), uses.end(), value,
                                     [](const Use& u, uint32_t v) { return u.value < v; });
    if (it != uses.end() && it->value == value)
      out.push_back({account, it->exchanges, it->first_ms, it->last_ms});
  }
  return out;
}

uint32_t Lookup::templates() const { return static_cast<uint32_t>(Count(kTemplateNames)); }
std::string_view Lookup::TemplateId(uint32_t t) const { return Item(kTemplateNames, t); }
std::optional<uint32_t> Lookup::FindTemplate(std::string_view id) const {
  return Find(kTemplateNames, id);
}

std::vector<Holder> Lookup::TemplateHolders(uint32_t t) const {
  Cursor c(Item(kTemplateHolders, t));
  std::vector<Holder> out;
  Holder h;
  uint64_t account = 0;
  for (uint64_t n = c.Varint(); n > 0 && !c.bad(); --n) {
    account += c.Varint();
    h.account = static_cast<uint32_t>(account);
    h.exchanges = c.Varint();
    h.first_ms = Later(h.first_ms, static_cast<uint64_t>(Unsigned(c.Varint())));
    h.last_ms = Later(h.first_ms, c.Varint());
    if (account >= accounts() || c.bad()) break;
    out.push_back(h);
  }
  return out;
}

}  // namespace stillwatch::lookup
