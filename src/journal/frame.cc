#include "journal/frame.h"

#include <algorithm>
#include <cstring>

#include "base/hash.h"

namespace stillwatch::journal {
namespace {

constexpr uint32_t kMagic = 0x4c4a5753;  // "SWJL"
constexpr std::string_view kSegmentMagic = "SWJOURN1";
constexpr size_t kChecksumAt = 32;

template <typename T>
void Put(std::string* out, size_t at, T v) {
  std::memcpy(out->data() + at, &v, sizeof v);
}

template <typename T>
T Get(std::string_view bytes, size_t at) {
  T v;
  std::memcpy(&v, bytes.data() + at, sizeof v);
  return v;
}

uint64_t Checksum(std::string_view frame) {
  return base::Combine64(base::Hash64(frame.substr(0, kChecksumAt)),
                         base::Hash64(frame.substr(kFrameHead)));
}

}  // namespace

std::string SegmentHead(uint64_t first) {
  std::string out(kSegmentMagic);
  out.resize(kSegmentHead);
  Put(&out, 8, first);
  return out;
}

std::optional<uint64_t> ParseSegmentHead(std::string_view bytes) {
  if (bytes.size() < kSegmentHead || !bytes.starts_with(kSegmentMagic)) return std::nullopt;
  return Get<uint64_t>(bytes, 8);
}

std::string Frame(std::string_view table, uint32_t rows, std::string_view block) {
  std::string out;
  out.reserve(kFrameHead + table.size() + block.size());
  out.resize(kFrameHead);
  Put(&out, 0, kMagic);
  Put(&out, 4, static_cast<uint32_t>(block.size()));
  Put(&out, 24, rows);
  Put(&out, 28, static_cast<uint16_t>(table.size()));
  out.append(table).append(block);
  return out;
}

void Seal(std::string* frame, uint64_t sequence, uint64_t settled) {
  Put(frame, 8, sequence);
  Put(frame, 16, settled);
  Put(frame, kChecksumAt, Checksum(*frame));
}

std::optional<FrameHead> ParseFrameHead(std::string_view bytes) {
  if (bytes.size() < kFrameHead || Get<uint32_t>(bytes, 0) != kMagic) return std::nullopt;
  FrameHead h;
  h.block_bytes = Get<uint32_t>(bytes, 4);
  h.sequence = Get<uint64_t>(bytes, 8);
  h.settled = Get<uint64_t>(bytes, 16);
  h.rows = Get<uint32_t>(bytes, 24);
  h.table_bytes = Get<uint16_t>(bytes, 28);
  h.checksum = Get<uint64_t>(bytes, kChecksumAt);
  if (h.block_bytes > kBlockBytesMax || h.table_bytes > kTableBytesMax || h.sequence == 0 ||
      Get<uint16_t>(bytes, 30) != 0)
    return std::nullopt;
  return h;
}

bool ChecksumFits(const FrameHead& head, std::string_view frame) {
  return frame.size() == head.size() && Checksum(frame) == head.checksum;
}

std::optional<FoundFrame> FindFrame(std::string_view segment, size_t offset) {
  const std::string_view magic(reinterpret_cast<const char*>(&kMagic), sizeof kMagic);
  while ((offset = segment.find(magic, offset)) != segment.npos) {
    const std::string_view rest = segment.substr(offset);
    const auto head = ParseFrameHead(rest);
    if (head && head->size() <= rest.size() && ChecksumFits(*head, rest.substr(0, head->size())))
      return FoundFrame{offset, *head};
    ++offset;
  }
  return std::nullopt;
}

Recovered Recover(std::string_view segment) {
  std::vector<FoundFrame> frames;
  uint64_t settled = 0;  // what the frames vouch for, all together
  for (size_t at = kSegmentHead; const auto next = FindFrame(segment, at);) {
    frames.push_back(*next);
    at = next->offset + next->head.size();
    settled = std::max(settled, next->head.settled);
  }
  Recovered out;
  out.keep = kSegmentHead;
  for (const FoundFrame& f : frames) {
    if (f.offset > out.keep) {
      // A gap that nobody vouches for lies in the last write, of which nothing was acknowledged.
      if (settled <= out.keep) break;
      out.damaged = true;
    }
    out.keep = f.offset + f.head.size();
    out.last = f.head.sequence;
  }
  return out;
}

}  // namespace stillwatch::journal
