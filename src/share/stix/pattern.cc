#include "share/stix/pattern.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/str.h"
#include "base/time.h"
#include "share/stix/ids.h"

namespace stillwatch::share::stix {
namespace {

using base::StrCat;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsAlpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

enum class Kind : uint8_t { kEnd, kWord, kString, kTimestamp, kHex, kBinary, kInt, kFloat, kSign };
struct Token {
  Kind kind = Kind::kEnd;
  size_t at = 0;
  std::string text;
};

// One token ahead; the words of the language are in capitals.
class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  absl::StatusOr<Pattern> Run() {
    Next();
    Observations(0);
    if (fault_.empty() && token_.kind != Kind::kEnd) Fault("nothing more was expected");
    if (!fault_.empty()) return absl::InvalidArgumentError(fault_);
    Pattern pattern;
    if (simple_ && observations_ == 1) pattern.all = std::move(comparisons_);
    return pattern;
  }

 private:
  void Fault(std::string_view what) {
    if (fault_.empty()) fault_ = StrCat("byte ", token_.at, ": ", what);
  }

  bool Quoted() {  // from the opening quote
    ++at_;
    while (at_ < text_.size() && text_[at_] != '\'') {
      if (text_[at_] == '\\') {
        if (++at_ == text_.size() || (text_[at_] != '\\' && text_[at_] != '\'')) {
          Fault("a string's \\ stands before \\ or ' alone");
          return false;
        }
      }
      token_.text.push_back(text_[at_++]);
    }
    if (at_ == text_.size()) {
      Fault("a string without an end");
      return false;
    }
    ++at_;
    return true;
  }

  void Next() {
    while (at_ < text_.size() && std::string_view(" \t\r\n\v\f").find(text_[at_]) != text_.npos)
      ++at_;
    token_ = {Kind::kEnd, at_, {}};
    if (at_ == text_.size() || !fault_.empty()) return;
    const char c = text_[at_], next = at_ + 1 < text_.size() ? text_[at_ + 1] : '\0';
    if (c == '\'') {
      token_.kind = Kind::kString;
      Quoted();
    } else if ((c == 't' || c == 'h' || c == 'b') && next == '\'') {
      token_.kind = c == 't' ? Kind::kTimestamp : c == 'h' ? Kind::kHex : Kind::kBinary;
      ++at_;
      if (Quoted()) Literal();
    } else if (IsDigit(c) || ((c == '-' || c == '+') && (IsDigit(next) || next == '.')) ||
               (c == '.' && IsDigit(next) && expect_value_)) {
      Number();
    } else if (IsAlpha(c)) {
      token_.kind = Kind::kWord;
      while (at_ < text_.size() &&
             (IsAlpha(text_[at_]) || IsDigit(text_[at_]) || (text_[at_] == '-' && !in_path_)))
        token_.text.push_back(text_[at_++]);
    } else {
      token_.kind = Kind::kSign;
      static constexpr std::string_view kSigns[] = {"==", "!=", "<>", ">=", "<=", "=", "<", ">",
                                                    "[",  "]",  "(",  ")",  ",",  ".", ":", "*"};
      for (const std::string_view sign : kSigns) {
        if (!text_.substr(at_).starts_with(sign)) continue;
        token_.text = sign;
        at_ += sign.size();
        return;
      }
      Fault("a sign that the language does not have");
    }
  }

  void Number() {
    token_.kind = Kind::kInt;
    if (text_[at_] == '-' || text_[at_] == '+') token_.text.push_back(text_[at_++]);
    const size_t begin = token_.text.size();
    while (at_ < text_.size() && IsDigit(text_[at_])) token_.text.push_back(text_[at_++]);
    const size_t whole = token_.text.size() - begin;
    if (at_ + 1 < text_.size() && text_[at_] == '.' && IsDigit(text_[at_ + 1])) {
      token_.kind = Kind::kFloat;
      token_.text.push_back(text_[at_++]);
      while (at_ < text_.size() && IsDigit(text_[at_])) token_.text.push_back(text_[at_++]);
    } else if (whole > 1 && token_.text[begin] == '0') {
      Fault("a number begins with no needless 0");
    }
  }

  void Literal() {
    const std::string& v = token_.text;
    if (token_.kind == Kind::kTimestamp) {
      if (v.size() < 20 || v[10] != 'T' || v.back() != 'Z' || !base::ParseRfc3339(v))
        Fault("no RFC 3339 time in UTC");
    } else if (token_.kind == Kind::kHex) {
      if (v.size() % 2 != 0 || !std::all_of(v.begin(), v.end(), [](char c) {
            return IsDigit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
          }))
        Fault("hexadecimal digits come in pairs");
    } else {
      size_t n = v.size();
      while (n > 0 && v.size() - n < 2 && v[n - 1] == '=') --n;
      if (v.size() % 4 != 0 ||
          !std::all_of(v.begin(), v.begin() + static_cast<long>(n), [](char c) {
            return IsDigit(c) || (IsAlpha(c) && c != '_') || c == '+' || c == '/';
          }))
        Fault("no base64");
    }
  }

  bool Word(std::string_view word) const {
    return token_.kind == Kind::kWord && token_.text == word;
  }
  bool Sign(std::string_view sign) const {
    return token_.kind == Kind::kSign && token_.text == sign;
  }
  bool Take(bool is) {
    if (is) Next();
    return is;
  }
  void Want(std::string_view sign) {
    if (!Take(Sign(sign))) Fault(StrCat("expected '", sign, "'"));
  }
  void WantWord(std::string_view word) {
    if (!Take(Word(word))) Fault(StrCat("expected ", word));
  }

  // FOLLOWEDBY binds least, then OR, then AND: for what is accepted the order does not matter.
  void Observations(int depth) {
    Observation(depth);
    while (fault_.empty() && (Word("FOLLOWEDBY") || Word("OR") || Word("AND"))) {
      Next();
      Observation(depth);
    }
  }

  void Observation(int depth) {
    if (depth > kPatternDepth) return Fault("brackets too deep");
    if (Take(Sign("("))) {
      Observations(depth + 1);
      Want(")");
    } else {
      Want("[");
      ++observations_;
      Comparisons(depth + 1);
      Want("]");
    }
    while (fault_.empty() && (Word("START") || Word("WITHIN") || Word("REPEATS"))) Qualifier();
  }

  void Qualifier() {
    simple_ = false;
    if (Take(Word("START"))) {
      const auto start = Time();
      WantWord("STOP");
      const auto stop = Time();
      if (fault_.empty() && stop <= start) Fault("STOP is after START");
    } else if (Take(Word("WITHIN"))) {
      if ((token_.kind != Kind::kInt && token_.kind != Kind::kFloat) || token_.text[0] == '-')
        Fault("expected a number of seconds");
      Next();
      WantWord("SECONDS");
    } else {
      Next();
      if (token_.kind != Kind::kInt || token_.text[0] == '-' || token_.text == "0")
        Fault("expected how often");
      Next();
      WantWord("TIMES");
    }
  }

  int64_t Time() {
    if (token_.kind != Kind::kTimestamp) Fault("expected a time, t'...'");
    const auto ms = base::ParseRfc3339(token_.text);
    Next();
    return ms.value_or(0);
  }

  void Comparisons(int depth) {
    Test(depth);
    while (fault_.empty() && (Word("AND") || Word("OR"))) {
      if (Word("OR")) simple_ = false;
      Next();
      Test(depth);
    }
  }

  void Test(int depth) {
    if (depth > kPatternDepth) return Fault("brackets too deep");
    if (Take(Sign("("))) {
      Comparisons(depth + 1);
      return Want(")");
    }
    Comparison c;
    if (Take(Word("EXISTS"))) {
      simple_ = false;
      return Path(&c);
    }
    Path(&c);
    if (!fault_.empty()) return;
    if (Take(Word("NOT"))) simple_ = false;
    static constexpr std::string_view kOrder[] = {"=", "==", "!=", "<>", "<", ">", "<=", ">="};
    if (token_.kind == Kind::kSign &&
        std::find(std::begin(kOrder), std::end(kOrder), token_.text) != std::end(kOrder)) {
      if (!Sign("=") && !Sign("==")) simple_ = false;
      expect_value_ = true;
      Next();
      expect_value_ = false;
      Value(&c);
    } else if (Take(Word("IN"))) {
      simple_ = false;
      Want("(");
      if (Take(Sign(")"))) return;
      do Value(&c);
      while (fault_.empty() && Take(Sign(",")));
      Want(")");
    } else if (Word("LIKE") || Word("MATCHES") || Word("ISSUBSET") || Word("ISSUPERSET")) {
      simple_ = false;
      Next();
      if (token_.kind != Kind::kString) Fault("expected a string");
      Next();
    } else {
      Fault("expected a comparison");
    }
    comparisons_.push_back(std::move(c));
  }

  void Value(Comparison* c) {
    switch (token_.kind) {
      case Kind::kInt:
      case Kind::kFloat:
        c->number = true;
        break;
      case Kind::kString:
      case Kind::kTimestamp:
      case Kind::kHex:
      case Kind::kBinary:
        break;
      default:
        if (!Word("true") && !Word("false")) Fault("expected a value");
    }
    c->value = token_.text;
    Next();
  }

  void Path(Comparison* c) {
    if (token_.kind != Kind::kWord) return Fault("expected an object's type");
    c->object = token_.text;
    in_path_ = true;
    Next();
    Want(":");
    Step(c);
    while (fault_.empty()) {
      if (Take(Sign("."))) {
        c->path += '.';
        Step(c);
      } else if (Sign("[")) {
        Next();
        if (!(token_.kind == Kind::kInt && IsDigit(token_.text[0])) && !Sign("*"))
          return Fault("expected an index or *");
        c->path += "[" + token_.text + "]";
        Next();
        Want("]");
      } else {
        break;
      }
    }
    in_path_ = false;
  }

  void Step(Comparison* c) {
    if (token_.kind != Kind::kWord && token_.kind != Kind::kString)
      return Fault("expected a property");
    c->path += token_.text;
    Next();
  }

  std::string_view text_;
  size_t at_ = 0;
  Token token_;
  std::string fault_;
  bool simple_ = true, in_path_ = false, expect_value_ = false;
  int observations_ = 0;
  std::vector<Comparison> comparisons_;
};

// In single quotes, as both languages have it.
std::string Quoted(std::string_view value) {
  std::string out = "'";
  for (const char c : value) {
    if (c == '\'' || c == '\\') out.push_back('\\');
    out.push_back(c);
  }
  return out + "'";
}

const Comparison* Find(const Pattern& p, std::string_view path) {
  for (const Comparison& c : p.all)
    if (c.path == path) return &c;
  return nullptr;
}

}  // namespace

absl::StatusOr<Pattern> ParsePattern(std::string_view text) {
  if (text.size() > kPatternBytes)
    return absl::InvalidArgumentError(StrCat("longer than ", kPatternBytes, " bytes"));
  return Parser(text).Run();
}

std::optional<Item> ItemOf(const Pattern& p) {
  if (p.all.empty()) return std::nullopt;
  const std::string& object = p.all[0].object;
  for (const Comparison& c : p.all)
    if (c.object != object) return std::nullopt;
  const size_t n = p.all.size();
  const Comparison* value = Find(p, "value");
  if (n == 1 && value && (object == "ipv4-addr" || object == "ipv6-addr"))
    return Item::Parse(ItemType::kAddress, value->value);
  if (n == 1 && value && object == "domain-name")
    return Item::Parse(ItemType::kMailDomain, value->value);
  if (const Comparison* number = Find(p, "number");
      n == 1 && number && number->number && object == "autonomous-system")
    return Item::Parse(ItemType::kNetwork, number->value);
  if (object == "user-account") {
    const Comparison* id = Find(p, "user_id");
    const Comparison* type = Find(p, "account_type");
    if (n != 2 || !id || !type || type->value != "llm-api") return std::nullopt;
    const size_t colon = id->value.find(':');
    if (colon == 16) {
      if (auto blinded = Item::Blinded(ItemType::kAccountId, id->value.substr(0, colon),
                                       id->value.substr(colon + 1)))
        return blinded;
    }
    return Item::Parse(ItemType::kAccountId, id->value);
  }
  if (object == "software") {
    const Comparison* name = Find(p, "name");
    const Comparison* version = Find(p, "version");
    if (!name || n != (version ? 2u : 1u)) return std::nullopt;
    return Item::Parse(ItemType::kClient,
                       version ? StrCat(name->value, "/", version->value) : name->value);
  }
  return std::nullopt;
}

Written PatternOf(const Item& item, std::string_view campaign_key) {
  const auto observable = ObservableOf(item, campaign_key);
  if (!observable) {
    return {StrCat(ItemTypeName(item.type()), item.blinded() ? " blinded " : " = ",
                   Quoted(item.value())),
            std::string(kPatternType)};
  }
  std::string pattern = "[";
  for (const auto& p : observable->properties)
    base::StrAppend(&pattern, pattern.size() > 1 ? " AND " : "", observable->type, ":", p.name,
                    " = ", p.number ? p.value : Quoted(p.value));
  return {pattern + "]", "stix"};
}

std::optional<Item> ParseOwnPattern(std::string_view text) {
  const size_t space = text.find(' ');
  if (space == text.npos || text.size() > kItemBytes + 64) return std::nullopt;
  const auto type = ItemTypeNamed(text.substr(0, space));
  std::string_view rest = text.substr(space + 1);
  const bool blinded = rest.starts_with("blinded '");
  if (!type || (!blinded && !rest.starts_with("= '")) || !rest.ends_with("'")) return std::nullopt;
  rest.remove_prefix(blinded ? 9 : 3);
  if (rest.empty()) return std::nullopt;
  rest.remove_suffix(1);
  std::string value;
  for (size_t i = 0; i < rest.size(); ++i) {
    if (rest[i] == '\'') return std::nullopt;
    if (rest[i] == '\\' && (++i == rest.size() || (rest[i] != '\\' && rest[i] != '\'')))
      return std::nullopt;
    value.push_back(rest[i]);
  }
  if (!blinded) return Item::Parse(*type, value);
  if (value.size() < 17 || value[16] != ':') return std::nullopt;
  return Item::Blinded(*type, std::string_view(value).substr(0, 16),
                       std::string_view(value).substr(17));
}

}  // namespace stillwatch::share::stix
