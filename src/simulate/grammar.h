// Text from a grammar, fast: alternatives are compiled into pieces that are copied one after the
// other. Source format, one file or several:
//
//   # comment                     @name ~          a symbol; "~" makes early alternatives likelier
//   one way | another | -         alternatives, divided by " | " or by lines; "-" is the empty one
//   {name} {#3-90} {T.thing}      another symbol; a number from 3 to 90; a field of the topic
//   {name:1} {=1}                 remembered and said again, 1 to 4
//   {ITEM}                        where the item goes: one byte kItemMark
//   \n \{ \}                      a line break and braces
//
// Symbols called topic.NAME.FIELD make up the topics. What comes out is ready for the inside of a
// JSON string. Immutable after Compile, so threads may share it.
#pragma once

#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "simulate/rng.h"

namespace stillwatch::simulate {

inline constexpr char kItemMark = '\x01';

// A growing text whose room is made before it is written to, so that writing needs no checks.
class Text {
 public:
  size_t size() const { return size_; }
  const char* data() const { return bytes_.get(); }
  std::string_view view() const { return {data(), size_}; }
  void clear() { size_ = 0; }
  void resize(size_t n) { size_ = n; }  // shorter only
  // Room for `n` bytes more, and 64 behind them for copies in blocks.
  void Room(size_t n) {
    if (size_ + n + 64 > capacity_) Grow(n);
  }
  char* end() { return bytes_.get() + size_; }
  void Advance(size_t n) { size_ += n; }
  void Put(std::string_view s) {
    Room(s.size());
    if (!s.empty()) std::memcpy(end(), s.data(), s.size());
    size_ += s.size();
  }
  void Put(char c) {
    Room(1);
    bytes_[size_++] = c;
  }
  void PutNumber(uint64_t n);
  void PutHex(uint64_t n, int digits);

 private:
  void Grow(size_t n);
  std::unique_ptr<char[]> bytes_;
  size_t size_ = 0, capacity_ = 0;
};

class Grammar {
 public:
  using Symbol = uint32_t;
  static constexpr Symbol kNone = UINT32_MAX;

  // InvalidArgument names the line: unknown symbols, cycles, unclosed braces.
  static absl::StatusOr<Grammar> Compile(
      const std::vector<std::pair<std::string_view, std::string_view>>& files);

  Symbol Find(std::string_view name) const;  // kNone when there is no such symbol
  uint32_t topics() const { return topics_; }
  void Expand(Symbol symbol, uint32_t topic, Rng* rng, Text* out) const;
  // The first alternative level worded clause by clause: clause i is drawn from clause_key(i), the
  // choice among alternatives from `key`. For scaffolds and their paraphrases.
  template <typename F>
  void ExpandClauses(Symbol symbol, uint32_t topic, uint64_t key, F&& clause_key, Text* out) const;

 private:
  enum class Kind : uint8_t { kLiteral, kSymbol, kStore, kTopic, kNumber, kRecall };
  struct Op {
    Kind kind;
    uint8_t slot = 0;       // register
    uint32_t a = 0, b = 0;  // literal: offset, length; symbol: id; number: low, high
  };
  struct Alternative {
    uint32_t begin, end;  // of ops_
  };
  struct SymbolInfo {
    std::string name;
    uint32_t begin = 0, end = 0;  // of alternatives_
    bool skewed = false;
    uint64_t longest = 0;  // bytes at most
  };
  struct Slots {
    std::array<std::pair<uint32_t, uint32_t>, 5> at{};  // offset in the output, length
    size_t begin = 0;                                   // of the expansion in the output
  };
  const Alternative& Choose(const SymbolInfo& s, Rng* rng) const;
  void Run(const Op& op, uint32_t topic, Rng* rng, Text* out, Slots* slots) const;
  void RunSymbol(Symbol symbol, uint32_t topic, Rng* rng, Text* out, Slots* slots) const;

  std::string literals_;
  std::vector<Op> ops_;
  std::vector<Alternative> alternatives_;
  std::vector<SymbolInfo> symbols_;
  uint32_t topics_ = 0, fields_ = 0;
  std::vector<Symbol> topic_symbols_;  // topic * fields_ + field
};

template <typename F>
void Grammar::ExpandClauses(Symbol symbol, uint32_t topic, uint64_t key, F&& clause_key,
                            Text* out) const {
  Rng rng(key);
  const SymbolInfo& s = symbols_[symbol];
  out->Room(s.longest);
  Slots slots;
  slots.begin = out->size();
  const Alternative& a = Choose(s, &rng);
  for (uint32_t i = a.begin; i < a.end; ++i) {
    Rng own(clause_key(i - a.begin));
    Run(ops_[i], topic, &own, out, &slots);
  }
}

}  // namespace stillwatch::simulate
