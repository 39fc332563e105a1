// How an entry of the journal lies on disk. Little-endian, nothing aligned:
//   segment: "SWJOURN1", u64 first sequence, then frames
//   frame:   u32 magic, u32 bytes of the block, u64 sequence, u64 settled, u32 rows,
//            u16 bytes of the table's name, u16 0, u64 checksum of all of this; name; block
//            (Native)
// `settled` is the size up to which the segment was durable before the frame was written: damage
// before it hit what was acknowledged, damage behind it is what a crash left of an unfinished
// write.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace stillwatch::journal {

inline constexpr size_t kSegmentHead = 16;
inline constexpr size_t kFrameHead = 40;
inline constexpr size_t kBlockBytesMax = 256u << 20;
inline constexpr size_t kTableBytesMax = 64;

struct FrameHead {
  uint64_t sequence = 0, settled = 0;
  uint32_t rows = 0, block_bytes = 0;
  uint16_t table_bytes = 0;
  uint64_t checksum = 0;
  size_t size() const { return kFrameHead + table_bytes + block_bytes; }
};

std::string SegmentHead(uint64_t first);
// Nothing when `bytes` do not begin a segment.
std::optional<uint64_t> ParseSegmentHead(std::string_view bytes);

// A frame but for what is known only when it is written. `table` and `block` are within bounds.
std::string Frame(std::string_view table, uint32_t rows, std::string_view block);
void Seal(std::string* frame, uint64_t sequence, uint64_t settled);

// Looks at the first kFrameHead bytes alone: plausible or not.
std::optional<FrameHead> ParseFrameHead(std::string_view bytes);
// `frame` is the whole of it.
bool ChecksumFits(const FrameHead& head, std::string_view frame);

struct FoundFrame {
  size_t offset = 0;
  FrameHead head;
};
// The first intact frame at or behind `offset`.
std::optional<FoundFrame> FindFrame(std::string_view segment, size_t offset);

// What a segment that was being written when the program ended holds.
struct Recovered {
  size_t keep = 0;       // bytes; what is behind them was never acknowledged
  uint64_t last = 0;     // sequence of the last intact frame, or 0
  bool damaged = false;  // something that was acknowledged cannot be read
};
Recovered Recover(std::string_view segment);

}  // namespace stillwatch::journal
