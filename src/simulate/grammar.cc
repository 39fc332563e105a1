#include "simulate/grammar.h"

#include <algorithm>
#include <functional>
#include <map>
#include <unordered_map>

#include "base/str.h"

namespace stillwatch::simulate {
namespace {

using base::StrCat;

constexpr uint64_t kLongestMax =
    256 << 10;                        // of one expansion: a grammar that can exceed it is refused
constexpr uint64_t kRecallMax = 256;  // of a remembered piece; longer ones are not remembered

std::string_view Trim(std::string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\r')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\r')) s.remove_suffix(1);
  return s;
}

}  // namespace

void Text::Grow(size_t n) {
  const size_t capacity = std::max(2 * capacity_, size_ + n + 4096);
  auto bytes = std::make_unique_for_overwrite<char[]>(capacity);
  if (size_ > 0) std::memcpy(bytes.get(), bytes_.get(), size_);
  bytes_ = std::move(bytes);
  capacity_ = capacity;
}

void Text::PutNumber(uint64_t n) {
  char digits[20];
  int i = 20;
  do digits[--i] = static_cast<char>('0' + n % 10);
  while (n /= 10);
  Put(std::string_view(digits + i, static_cast<size_t>(20 - i)));
}

void Text::PutHex(uint64_t n, int digits) {
  Room(16);
  char* p = end();
  for (int i = digits; i-- > 0; n >>= 4) p[i] = "0123456789abcdef"[n & 15];
  size_ += static_cast<size_t>(digits);
}

absl::StatusOr<Grammar> Grammar::Compile(
    const std::vector<std::pair<std::string_view, std::string_view>>& files) {
  struct Source {
    std::string name, where;
    bool skewed;
    std::vector<std::pair<std::string_view, std::string>> alternatives;  // text, where
  };
  std::vector<Source> sources;
  std::unordered_map<std::string, Symbol> by_name;
  const auto bad = [](const std::string& where, std::string_view what) {
    return absl::InvalidArgumentError(StrCat("grammar: ", where, ": ", what));
  };
  for (const auto& [file, text] : files) {
    std::string_view rest = text;
    for (int line = 1; !rest.empty(); ++line) {
      const size_t eol = std::min(rest.find('\n'), rest.size());
      std::string_view s = Trim(rest.substr(0, eol));
      rest.remove_prefix(std::min(rest.size(), eol + 1));
      const std::string where = StrCat(file, ":", line);
      if (s.empty() || s[0] == '#') continue;
      if (s[0] == '@') {
        const bool skewed = s.ends_with(" ~");
        const std::string name(Trim(s.substr(1, s.size() - 1 - (skewed ? 2 : 0))));
        if (!by_name.emplace(name, static_cast<Symbol>(sources.size())).second)
          return bad(where, StrCat("symbol ", name, " is there already"));
        sources.push_back({name, where, skewed, {}});
        continue;
      }
      if (sources.empty()) return bad(where, "text before the first symbol");
      for (size_t at = 0; at <= s.size();) {
        const size_t bar = std::min(s.find(" | ", at), s.size());
        std::string_view one = Trim(s.substr(at, bar - at));
        if (one == "-") one = {};
        sources.back().alternatives.emplace_back(one, where);
        at = bar + 3;
      }
    }
  }

  Grammar g;
  // Topics and their fields, in the order of the files.
  std::vector<std::string> topic_names;
  std::map<std::string, uint32_t, std::less<>> field_of;
  for (const Source& s : sources) {
    if (!s.name.starts_with("topic.")) continue;
    const size_t dot = s.name.find('.', 6);
    if (dot == std::string::npos) return bad(s.where, "a topic's symbol is topic.NAME.FIELD");
    const std::string topic = s.name.substr(6, dot - 6);
    if (topic_names.empty() || topic_names.back() != topic) topic_names.push_back(topic);
    field_of.emplace(s.name.substr(dot + 1), static_cast<uint32_t>(field_of.size()));
  }
  g.topics_ = static_cast<uint32_t>(topic_names.size());
  g.fields_ = static_cast<uint32_t>(field_of.size());
  for (const std::string& topic : topic_names) {
    const size_t first = g.topic_symbols_.size();
    g.topic_symbols_.resize(first + g.fields_, kNone);
    for (const auto& [field, i] : field_of) {
      const auto found = by_name.find(StrCat("topic.", topic, ".", field));
      if (found == by_name.end())
        return absl::InvalidArgumentError(StrCat("grammar: topic ", topic, " has no ", field));
      g.topic_symbols_[first + i] = found->second;
    }
  }

  std::unordered_map<std::string, uint32_t> literal_at;
  for (const Source& s : sources) {
    SymbolInfo info;
    info.name = s.name;
    info.skewed = s.skewed;
    info.begin = static_cast<uint32_t>(g.alternatives_.size());
    for (const auto& [text, where] : s.alternatives) {
      Alternative alternative{static_cast<uint32_t>(g.ops_.size()), 0};
      std::string literal;
      const auto flush = [&] {
        if (literal.empty()) return;
        auto [it, fresh] = literal_at.emplace(literal, static_cast<uint32_t>(g.literals_.size()));
        if (fresh) g.literals_ += literal;
        g.ops_.push_back({Kind::kLiteral, 0, it->second, static_cast<uint32_t>(literal.size())});
        literal.clear();
      };
      for (size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (c == '\\' && i + 1 < text.size() && (text[i + 1] == '{' || text[i + 1] == '}')) {
          literal.push_back(text[++i]);
        } else if (c == '\\') {
          if (i + 1 >= text.size() || text[i + 1] != 'n')
            return bad(where, "a backslash stands before n, { or }");
          literal += "\\n";
          ++i;
        } else if (c == '"') {
          literal += "\\\"";
        } else if (c == '}') {
          return bad(where, "} without {");
        } else if (c != '{') {
          literal.push_back(c);
        } else {
          const size_t close = text.find('}', i);
          if (close == std::string_view::npos) return bad(where, "{ without }");
          std::string_view what = text.substr(i + 1, close - i - 1);
          i = close;
          Op op{Kind::kSymbol};
          if (what == "ITEM") {
            literal.push_back(kItemMark);
            continue;
          }
          flush();
          if (what.starts_with("#")) {
            op.kind = Kind::kNumber;
            const size_t dash = what.find('-');
            const auto number = [](std::string_view digits) {
              uint32_t n = 0;
              for (const char d : digits) n = n * 10 + static_cast<uint32_t>(d - '0');
              return n;
            };
            if (dash == std::string_view::npos) return bad(where, "a number is {#low-high}");
            op.a = number(what.substr(1, dash - 1));
            op.b = number(what.substr(dash + 1));
            if (op.a >= op.b) return bad(where, "a number's low is not below its high");
          } else if (what.starts_with("=") && what.size() == 2) {
            op.kind = Kind::kRecall;
            op.slot = static_cast<uint8_t>(what[1] - '0');
          } else if (what.starts_with("T.")) {
            op.kind = Kind::kTopic;
            const auto field = field_of.find(what.substr(2));
            if (field == field_of.end()) return bad(where, StrCat("no topic has ", what));
            op.a = field->second;
          } else {
            if (what.size() > 2 && what[what.size() - 2] == ':') {
              op.kind = Kind::kStore;
              op.slot = static_cast<uint8_t>(what.back() - '0');
              what.remove_suffix(2);
            }
            const auto found = by_name.find(std::string(what));
            if (found == by_name.end()) return bad(where, StrCat("unknown symbol ", what));
            op.a = found->second;
          }
          if (op.slot > 4) return bad(where, "only 1 to 4 can be remembered");
          g.ops_.push_back(op);
        }
      }
      flush();
      alternative.end = static_cast<uint32_t>(g.ops_.size());
      g.alternatives_.push_back(alternative);
    }
    info.end = static_cast<uint32_t>(g.alternatives_.size());
    if (info.begin == info.end)
      return bad(s.where, StrCat("symbol ", s.name, " has no alternative"));
    g.symbols_.push_back(std::move(info));
  }
  g.literals_.append(64, ' ');  // for copies in blocks

  // The longest text of each symbol; a cycle has none.
  std::vector<uint8_t> state(g.symbols_.size(), 0);  // 1 on the way, 2 done
  std::function<absl::Status(Symbol)> measure = [&](Symbol id) -> absl::Status {
    SymbolInfo& s = g.symbols_[id];
    if (state[id] == 2) return absl::OkStatus();
    if (state[id] == 1)
      return absl::InvalidArgumentError(StrCat("grammar: symbol ", s.name, " contains itself"));
    state[id] = 1;
    for (uint32_t a = s.begin; a < s.end; ++a) {
      uint64_t bytes = 0;
      for (uint32_t i = g.alternatives_[a].begin; i < g.alternatives_[a].end; ++i) {
        const Op& op = g.ops_[i];
        switch (op.kind) {
          case Kind::kLiteral:
            bytes += op.b;
            break;
          case Kind::kNumber:
            bytes += 20;
            break;
          case Kind::kRecall:
            bytes += kRecallMax;
            break;
          case Kind::kSymbol:
          case Kind::kStore:
            if (absl::Status inner = measure(op.a); !inner.ok()) return inner;
            bytes += g.symbols_[op.a].longest;
            break;
          case Kind::kTopic: {
            uint64_t most = 0;
            for (uint32_t t = 0; t < g.topics_; ++t) {
              const Symbol field = g.topic_symbols_[t * g.fields_ + op.a];
              if (absl::Status inner = measure(field); !inner.ok()) return inner;
              most = std::max(most, g.symbols_[field].longest);
            }
            bytes += most;
          }
        }
      }
      s.longest = std::max(s.longest, bytes);
    }
    if (s.longest > kLongestMax)
      return absl::InvalidArgumentError(
          StrCat("grammar: symbol ", s.name, " can grow past ", kLongestMax, " bytes"));
    state[id] = 2;
    return absl::OkStatus();
  };
  for (Symbol id = 0; id < g.symbols_.size(); ++id) {
    if (absl::Status s = measure(id); !s.ok()) return s;
  }
  return g;
}

Grammar::Symbol Grammar::Find(std::string_view name) const {
  for (Symbol id = 0; id < symbols_.size(); ++id) {
    if (symbols_[id].name == name) return id;
  }
  return kNone;
}

const Grammar::Alternative& Grammar::Choose(const SymbolInfo& s, Rng* rng) const {
  const uint32_t n = s.end - s.begin;
  if (n == 1) return alternatives_[s.begin];
  if (!s.skewed) return alternatives_[s.begin + rng->Below(n)];
  const uint64_t u = rng->Next() >> 32;  // the square of a uniform: early ones are likelier
  return alternatives_[s.begin + ((u * u >> 32) * n >> 32)];
}

void Grammar::Run(const Op& op, uint32_t topic, Rng* rng, Text* out, Slots* slots) const {
  switch (op.kind) {
    case Kind::kLiteral: {
      // Both sides have 64 bytes to spare: short pieces are copied without counting.
      char* to = out->end();
      const char* from = literals_.data() + op.a;
      uint32_t n = op.b;
      if (*from == ' ' &&
          (out->size() == slots->begin || to[-1] == ' ')) {  // something empty stands before it
        ++from;
        --n;
      }
      if ((*from == '.' || *from == ',' || *from == '?') && out->size() > slots->begin &&
          to[-1] == ' ') {
        out->resize(out->size() - 1);
        --to;
      }
      std::memcpy(to, from, 32);
      if (n > 32) std::memcpy(to + 32, from + 32, n - 32);
      out->Advance(n);
      break;
    }
    case Kind::kSymbol:
      RunSymbol(op.a, topic, rng, out, slots);
      break;
    case Kind::kTopic:
      RunSymbol(topic_symbols_[topic * fields_ + op.a], topic, rng, out, slots);
      break;
    case Kind::kNumber: {
      uint32_t n = op.a + rng->Below(op.b - op.a + 1);
      char digits[10];
      int i = 10;
      do digits[--i] = static_cast<char>('0' + n % 10);
      while (n /= 10);
      std::memcpy(out->end(), digits + i, static_cast<size_t>(10 - i));
      out->Advance(static_cast<size_t>(10 - i));
      break;
    }
    case Kind::kStore: {
      const size_t before = out->size();
      RunSymbol(op.a, topic, rng, out, slots);
      const size_t length = std::min<size_t>(out->size() - before, kRecallMax);
      slots->at[op.slot] = {static_cast<uint32_t>(before), static_cast<uint32_t>(length)};
      break;
    }
    case Kind::kRecall: {
      const auto [at, length] = slots->at[op.slot];
      std::memcpy(out->end(), out->data() + at, length);
      out->Advance(length);
      break;
    }
  }
}

void Grammar::RunSymbol(Symbol symbol, uint32_t topic, Rng* rng, Text* out, Slots* slots) const {
  const Alternative& a = Choose(symbols_[symbol], rng);
  for (uint32_t i = a.begin; i < a.end; ++i) Run(ops_[i], topic, rng, out, slots);
}

void Grammar::Expand(Symbol symbol, uint32_t topic, Rng* rng, Text* out) const {
  out->Room(symbols_[symbol].longest);
  Slots slots;
  slots.begin = out->size();
  RunSymbol(symbol, topic, rng, out, &slots);
  while (out->size() > slots.begin && out->data()[out->size() - 1] == ' ')
    out->resize(out->size() - 1);
}

}  // namespace stillwatch::simulate
