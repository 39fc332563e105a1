#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/str.h"
#include "base/write_file.h"
#include "lookup/format.h"
#include "lookup/lookup.h"

namespace stillwatch::lookup {

using base::StrCat;

namespace {
constexpr size_t kPiece = 4 << 20;  // bytes of holders that are written at once
}  // namespace

void Writer::Encode(const Account& a, std::string* out) {
  PutVarint(a.exchanges, out);
  if (a.exchanges > 0) {
    for (const uint64_t v : {Signed(a.first_ms), Since(a.first_ms, a.last_ms), a.with_text,
                             a.input_tokens, a.output_tokens})
      PutVarint(v, out);
    for (const uint64_t n : a.hours) PutVarint(n, out);
  }
  PutVarint(a.created_ms.has_value(), out);
  if (a.created_ms) PutVarint(Signed(*a.created_ms), out);
  for (size_t f = 0; f < kFields; ++f) {
    const auto& uses = a.uses[f];
    PutVarint(uses.size(), out);
    uint32_t before = 0;
    for (const Use& u : uses) {
      PutVarint(u.value - before, out);
      before = u.value;
      if (OfRecord(static_cast<Field>(f))) continue;
      PutVarint(u.exchanges, out);
      PutVarint(Since(a.first_ms, u.first_ms), out);
      if (u.exchanges > 1) PutVarint(Since(u.first_ms, u.last_ms), out);
    }
  }
}

void Decode(std::string_view bytes, uint32_t only, Account* a) {
  Cursor c(bytes);
  a->exchanges = c.Varint();
  a->with_text = a->input_tokens = a->output_tokens = 0;
  a->first_ms = a->last_ms = 0;
  a->hours = {};
  if (a->exchanges > 0) {
    a->first_ms = Unsigned(c.Varint());
    a->last_ms = Later(a->first_ms, c.Varint());
    a->with_text = c.Varint();
    a->input_tokens = c.Varint();
    a->output_tokens = c.Varint();
    for (uint64_t& n : a->hours) n = c.Varint();
  }
  a->created_ms.reset();
  if (c.Varint() != 0) a->created_ms = Unsigned(c.Varint());
  for (auto& uses : a->uses) uses.clear();
  for (size_t f = 0; f < kFields && only >> f != 0; ++f) {
    const bool wanted = only >> f & 1, record = OfRecord(static_cast<Field>(f));
    uint32_t before = 0;
    for (uint64_t n = c.Varint(); n > 0 && !c.bad(); --n) {
      Use u;
      u.value = before += static_cast<uint32_t>(c.Varint());
      if (!record) {
        u.exchanges = c.Varint();
        u.first_ms = u.last_ms = Later(a->first_ms, c.Varint());
        if (u.exchanges > 1) u.last_ms = Later(u.first_ms, c.Varint());
      }
      if (wanted && !c.bad()) a->uses[f].push_back(u);
    }
  }
}

absl::Status Writer::Failed(int error) const {
  const std::string text = StrCat(path_, ": ", std::strerror(error));
  return error == ENOSPC ? absl::ResourceExhaustedError(text + "; free space and run again")
                         : absl::FailedPreconditionError(text);
}

absl::StatusOr<std::unique_ptr<Writer>> Writer::Create(const std::string& path) {
  std::unique_ptr<Writer> w(new Writer(path));
  w->fd_ = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (w->fd_ < 0) return w->Failed(errno);
  w->sections_.resize(sizeof(Header) / 8);
  w->at_ = sizeof(Header);
  return w;
}

Writer::~Writer() {
  if (fd_ >= 0) close(fd_);
}

absl::Status Writer::Put(std::string_view bytes) {
  if (const int e = base::WriteAt(fd_, bytes.data(), bytes.size(), at_); e != 0) return Failed(e);
  at_ += bytes.size();
  return absl::OkStatus();
}

absl::Status Writer::PutEnds(size_t number, std::span<const uint64_t> ends) {
  if (absl::Status s = Put(std::string_view("\0\0\0\0\0\0\0", (8 - at_ % 8) % 8)); !s.ok())
    return s;
  auto& at = reinterpret_cast<Header*>(sections_.data())->sections[number];
  at.ends = at_;
  at.count = ends.size();
  return Put({reinterpret_cast<const char*>(ends.data()), ends.size() * 8});
}

absl::Status Writer::Section(size_t number, std::string_view bytes,
                             std::span<const uint64_t> ends) {
  auto& at = reinterpret_cast<Header*>(sections_.data())->sections[number];
  at.bytes = at_;
  at.length = bytes.size();
  if (absl::Status s = Put(bytes); !s.ok()) return s;
  return PutEnds(number, ends);
}

absl::Status Writer::Append(std::string_view bytes, std::span<const uint64_t> ends) {
  const uint64_t before = at_ - sizeof(Header);
  for (const uint64_t e : ends) ends_.push_back(before + e);
  return Put(bytes);
}

absl::Status Writer::Names(const std::vector<std::string>& accounts,
                           const std::array<const std::vector<std::string>*, kFields>& values) {
  auto& data = reinterpret_cast<Header*>(sections_.data())->sections[kAccountData];
  data.bytes = sizeof(Header);
  data.length = at_ - sizeof(Header);
  if (absl::Status s = PutEnds(kAccountData, ends_); !s.ok()) return s;
  std::string bytes;
  std::vector<uint64_t> ends;
  const auto names = [&](size_t section, const std::vector<std::string>& of) {
    bytes.clear(), ends.clear();
    for (const std::string& n : of) {
      bytes += n;
      ends.push_back(bytes.size());
    }
    return Section(section, bytes, ends);
  };
  if (absl::Status s = names(kAccountNames, accounts); !s.ok()) return s;
  for (size_t f = 0; f < kFields; ++f)
    if (absl::Status s = names(ValueNames(f), *values[f]); !s.ok()) return s;

  // The other way round: what was written is read again, field by field, so that beside the counts
  // there is one number a pair in memory.
  void* map = mmap(nullptr, at_, PROT_READ, MAP_SHARED, fd_, 0);
  if (map == MAP_FAILED) return Failed(errno);
  absl::Status status;
  std::vector<std::vector<uint64_t>> start(kFields);
  for (size_t f = 0; f < kFields; ++f) start[f].assign(values[f]->size() + 1, 0);
  Account a;
  uint64_t active = 0;
  const auto each = [&](const auto& body) {
    active = 0;
    uint64_t begin = sizeof(Header);
    for (uint32_t i = 0; i < ends_.size(); ++i) {
      const uint64_t end = sizeof(Header) + ends_[i];
      Decode({static_cast<const char*>(map) + begin, end - begin}, Lookup::kAllFields, &a);
      begin = end;
      active += a.exchanges > 0;
      for (size_t f = 0; f < kFields; ++f)
        for (const Use& u : a.uses[f]) body(i, f, u.value);
    }
  };
  each([&](uint32_t, size_t f, uint32_t v) { ++start[f][v + 1]; });
  reinterpret_cast<Header*>(sections_.data())->active = active;
  uint64_t pairs = 0;
  for (auto& of : start) {
    for (uint64_t& n : of) n = pairs += n;
  }
  std::vector<uint32_t> holders(pairs);
  {
    std::vector<std::vector<uint64_t>> next = start;
    each([&](uint32_t i, size_t f, uint32_t v) { holders[next[f][v]++] = i; });
  }
  munmap(map, at_);
  for (size_t f = 0; f < kFields && status.ok(); ++f) {
    auto& at = reinterpret_cast<Header*>(sections_.data())->sections[ValueHolders(f)];
    at.bytes = at_;
    bytes.clear(), ends.clear();
    uint64_t flushed = 0;
    for (size_t v = 0; v + 1 < start[f].size() && status.ok(); ++v) {
      PutVarint(start[f][v + 1] - start[f][v], &bytes);
      uint32_t before = 0;
      for (uint64_t i = start[f][v]; i < start[f][v + 1]; ++i) {
        PutVarint(holders[i] - before, &bytes);
        before = holders[i];
      }
      ends.push_back(flushed + bytes.size());
      if (bytes.size() < kPiece) continue;
      flushed += bytes.size();
      status = Put(bytes);
      bytes.clear();
    }
    if (status.ok()) status = Put(bytes);
    at.length = at_ - at.bytes;
    if (status.ok()) status = PutEnds(ValueHolders(f), ends);
  }
  ends_.clear();
  ends_.shrink_to_fit();  // Templates comes when judging has begun, and that needs the memory
  return status;
}

absl::Status Writer::Templates(const std::vector<std::string>& ids,
                               const std::function<void(size_t, std::vector<Holder>*)>& holders) {
  std::string bytes;
  std::vector<uint64_t> ends;
  for (const std::string& id : ids) {
    bytes += id;
    ends.push_back(bytes.size());
  }
  if (absl::Status s = Section(kTemplateNames, bytes, ends); !s.ok()) return s;
  auto& at = reinterpret_cast<Header*>(sections_.data())->sections[kTemplateHolders];
  at.bytes = at_;
  bytes.clear(), ends.clear();
  std::vector<Holder> of;
  for (size_t t = 0; t < ids.size(); ++t) {
    of.clear();
    holders(t, &of);
    PutVarint(of.size(), &bytes);
    Holder before;
    for (const Holder& h : of) {
      PutVarint(h.account - before.account, &bytes);
      PutVarint(h.exchanges, &bytes);
      PutVarint(Signed(Later(h.first_ms, 0 - static_cast<uint64_t>(before.first_ms))), &bytes);
      PutVarint(Since(h.first_ms, h.last_ms), &bytes);
      before = h;
    }
    ends.push_back(at_ - at.bytes + bytes.size());
    if (bytes.size() < kPiece) continue;
    if (absl::Status s = Put(bytes); !s.ok()) return s;
    bytes.clear();
  }
  if (absl::Status s = Put(bytes); !s.ok()) return s;
  at.length = at_ - at.bytes;
  return PutEnds(kTemplateHolders, ends);
}

absl::Status Writer::Finish() {
  auto* header = reinterpret_cast<Header*>(sections_.data());
  std::memcpy(header->magic, kMagic, sizeof kMagic);
  header->size = std::exchange(at_, 0);
  if (absl::Status s = Put({reinterpret_cast<const char*>(header), sizeof *header}); !s.ok())
    return s;
  return close(std::exchange(fd_, -1)) == 0 ? absl::OkStatus() : Failed(errno);
}

}  // namespace stillwatch::lookup
