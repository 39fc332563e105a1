#include "share/stix/json_fault.h"

#include "base/str.h"

namespace stillwatch::share::stix {
namespace {

class Scanner {
 public:
  Scanner(std::string_view text, size_t depth) : text_(text), depth_(depth) {}

  std::string Run() {
    Space();
    if (Value(0)) {
      Space();
      if (at_ < text_.size()) Fault("something follows the end");
    }
    return fault_;
  }

 private:
  bool Fault(std::string_view what) {
    if (fault_.empty()) fault_ = base::StrCat(pointer_, ": byte ", at_, ": ", what);
    return false;
  }
  bool End() const { return at_ >= text_.size(); }
  char Now() const { return End() ? '\0' : text_[at_]; }
  void Space() {
    while (!End() && (Now() == ' ' || Now() == '\t' || Now() == '\n' || Now() == '\r')) ++at_;
  }

  bool Value(size_t depth) {
    if (depth > depth_) return Fault("is nested too deep");
    switch (Now()) {
      case '{':
        return Object(depth);
      case '[':
        return Array(depth);
      case '"':
        return String(nullptr);
      case 't':
        return Word("true");
      case 'f':
        return Word("false");
      case 'n':
        return Word("null");
      default:
        return Number();
    }
  }

  bool Word(std::string_view word) {
    if (!text_.substr(at_).starts_with(word)) return Fault("no JSON value");
    at_ += word.size();
    return true;
  }

  bool Digits() {
    if (Now() < '0' || Now() > '9') return Fault("expected a value");
    while (Now() >= '0' && Now() <= '9') ++at_;
    return true;
  }
  bool Number() {
    if (Now() == '-') ++at_;
    if (Now() == '0') {
      ++at_;
      if (Now() >= '0' && Now() <= '9') return Fault("a number begins with no needless 0");
    } else if (!Digits()) {
      return false;
    }
    if (Now() == '.') {
      ++at_;
      if (!Digits()) return false;
    }
    if (Now() == 'e' || Now() == 'E') {
      ++at_;
      if (Now() == '+' || Now() == '-') ++at_;
      if (!Digits()) return false;
    }
    return true;
  }

  bool Hex4(uint32_t* unit) {
    *unit = 0;
    for (int i = 0; i < 4; ++i, ++at_) {
      const char c = Now();
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) return Fault("expected 4 hexadecimal digits");
      *unit = *unit << 4 | static_cast<uint32_t>(digit);
    }
    return true;
  }

  bool String(std::string* value) {
    ++at_;
    while (!End() && Now() != '"') {
      const auto c = static_cast<unsigned char>(Now());
      if (c < 0x20) return Fault("a control character in a string");
      if (c == '\\') {
        ++at_;
        if (Now() == 'u') {
          uint32_t unit = 0;
          ++at_;
          if (!Hex4(&unit)) return false;
          if (unit >= 0xdc00 && unit < 0xe000) return Fault("half a surrogate pair");
          if (unit >= 0xd800 && unit < 0xdc00) {
            if (!text_.substr(at_).starts_with("\\u")) return Fault("half a surrogate pair");
            at_ += 2;
            if (!Hex4(&unit)) return false;
            if (unit < 0xdc00 || unit >= 0xe000) return Fault("half a surrogate pair");
          }
          continue;
        }
        if (End() || std::string_view("\"\\/bfnrt").find(Now()) == std::string_view::npos)
          return Fault("no such escape");
        ++at_;
        continue;
      }
      if (c < 0x80) {
        if (value) value->push_back(Now());
        ++at_;
        continue;
      }
      if (!Utf8(c)) return Fault("no UTF-8");
    }
    if (End()) return Fault("a string without an end");
    ++at_;
    return true;
  }

  bool Utf8(unsigned char c) {
    const size_t n = c >= 0xc2 && c < 0xe0   ? 2
                     : c >= 0xe0 && c < 0xf0 ? 3
                     : c >= 0xf0 && c < 0xf5 ? 4
                                             : 0;
    if (n == 0 || at_ + n > text_.size()) return false;
    uint32_t point = c & (0xffu >> (n + 1));
    for (size_t k = 1; k < n; ++k) {
      const auto next = static_cast<unsigned char>(text_[at_ + k]);
      if ((next & 0xc0) != 0x80) return false;
      point = point << 6 | (next & 0x3f);
    }
    at_ += n;
    return (n != 3 || (point >= 0x800 && (point < 0xd800 || point >= 0xe000))) &&
           (n != 4 || (point >= 0x10000 && point <= 0x10ffff));
  }

  bool Object(size_t depth) {
    ++at_;
    Space();
    if (Now() == '}') return ++at_;
    for (;;) {
      if (Now() != '"') return Fault("expected a name");
      std::string name;
      if (!String(&name)) return false;
      Space();
      if (Now() != ':') return Fault("expected ':'");
      ++at_;
      Space();
      if (!Inside(name.substr(0, 128), depth)) return false;
      Space();
      if (Now() == '}') return ++at_;
      if (Now() != ',') return Fault("expected ',' or '}'");
      ++at_;
      Space();
    }
  }

  bool Array(size_t depth) {
    ++at_;
    Space();
    if (Now() == ']') return ++at_;
    for (size_t i = 0;; ++i) {
      if (!Inside(std::to_string(i), depth)) return false;
      Space();
      if (Now() == ']') return ++at_;
      if (Now() != ',') return Fault("expected ',' or ']'");
      ++at_;
      Space();
    }
  }

  bool Inside(std::string_view step, size_t depth) {
    const size_t size = pointer_.size();
    base::StrAppend(&pointer_, "/", step);
    if (!Value(depth + 1)) return false;
    pointer_.resize(size);
    return true;
  }

  std::string_view text_;
  size_t depth_, at_ = 0;
  std::string pointer_, fault_;
};

}  // namespace

std::string JsonFault(std::string_view text, size_t depth) { return Scanner(text, depth).Run(); }

}  // namespace stillwatch::share::stix
